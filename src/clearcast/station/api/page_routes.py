"""Static files for browsers: the station's page and the API documentation, all served from this machine."""

import os
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

from clearcast.station.api.problems import http_error

PAGE_FOLDER = Path(str(files("clearcast.station"))) / "page"
_DOCUMENTATION = Path(__file__).parent / "documentation"
_SWAGGER = Path(str(files("fastapi_offline"))) / "static"  # the Swagger UI files of this package
_REVALIDATE = {"Cache-Control": "no-cache"}  # so that no old script runs after an update

router = APIRouter(include_in_schema=False)


class _RevalidatedFiles(StaticFiles):
    """Static files that a browser revalidates on each request."""

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_REVALIDATE)
        return response


@router.get("/")
def page() -> FileResponse:
    """The station's page."""
    index = PAGE_FOLDER / "index.html"
    if not index.is_file():
        raise http_error(404, "This installation has no page; the API is documented at /docs")
    return FileResponse(index, headers=_REVALIDATE)


@router.get("/docs")
def documentation() -> FileResponse:
    """The API documentation."""
    return FileResponse(_DOCUMENTATION / "index.html", headers=_REVALIDATE)


def mount_static_files(app: FastAPI) -> None:
    """Mount the static files of the page and of the API documentation."""
    app.mount("/static", _RevalidatedFiles(directory=PAGE_FOLDER))
    app.mount("/docs/page", _RevalidatedFiles(directory=_DOCUMENTATION))
    app.mount("/docs/swagger", _RevalidatedFiles(directory=_SWAGGER))
