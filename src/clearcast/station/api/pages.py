"""What a browser loads: the station's page, and the API's documentation. All of it comes from this machine."""

import os
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

from clearcast.station.api.problems import refused

PAGE = Path(str(files("clearcast.station"))) / "page"
_DOCUMENTATION = Path(__file__).parent / "documentation"
_SWAGGER = Path(str(files("fastapi_offline"))) / "static"  # Swagger UI, as this package carries it
_FRESH = {"Cache-Control": "no-cache"}  # ask whether it has changed: after an update no old script runs

router = APIRouter(include_in_schema=False)


class _Files(StaticFiles):
    """Files of a folder, of which a browser asks each time whether they have changed."""

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_FRESH)
        return response


@router.get("/")
def page() -> FileResponse:
    """The station's page."""
    index = PAGE / "index.html"
    if not index.is_file():
        raise refused(404, "This installation has no page; the API is described at /docs")
    return FileResponse(index, headers=_FRESH)


@router.get("/docs")
def documentation() -> FileResponse:
    """The API's documentation."""
    return FileResponse(_DOCUMENTATION / "index.html", headers=_FRESH)


def mount(app: FastAPI) -> None:
    """Let an app serve the files that these pages ask for."""
    app.mount("/static", _Files(directory=PAGE))
    app.mount("/docs/page", _Files(directory=_DOCUMENTATION))
    app.mount("/docs/swagger", _Files(directory=_SWAGGER))
