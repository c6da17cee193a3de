"""Routes of images, and their responses, sent in chunks so that large ones do not block the event loop."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Literal, Self, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.types import Receive, Scope, Send

from clearcast.station.api.access import StationDep, require_reader
from clearcast.station.api.log_routes import InspectionId, get_logged_inspection
from clearcast.station.api.memory_budget import ResponseMemoryBudget
from clearcast.station.api.problems import IMAGE_SECURITY_POLICY, ResponseDocs, http_error, problem_responses
from clearcast.station.api.schemas import StorableText
from clearcast.station.api.settings import Station
from clearcast.station.api.upload_checks import detect_media_type
from clearcast.station.api.workers import WorkerPools, WorkerPoolsDep
from clearcast.station.image_store import ImageStore

_CHUNK = 256 * 1024  # bytes
_IMMUTABLE = f"private, max-age={365 * 24 * 3600}, immutable"  # the uploaded bytes, which the URL identifies
_ONE_HOUR = "private, max-age=3600"  # derived images, which another version may render differently
_REVALIDATE = "private, no-cache"  # by id, which may refer to another image later

_IMAGE_RESPONSES: ResponseDocs = {
    200: {"content": {f"image/{kind}": {"schema": {"type": "string"}} for kind in ("jpeg", "png", "webp")}},
    304: {"description": "The image has not changed (If-None-Match)"},
}

router = APIRouter(tags=["history"], dependencies=[Depends(require_reader)])
ImageKind = Literal["noisy", "restored", "heat", "thumbnail"]
ContentHash = Annotated[str, Path(alias="sha256", pattern="^[0-9a-f]{64}$", description="of the uploaded bytes")]
_RENDERED = frozenset({"restored", "heat"})  # may take seconds
ModelQuery = Annotated[
    StorableText, Query(max_length=1000, description="bundle that made the denoised image or heat map")
]


class ImageResponse(Response):
    """Response with an encoded image, sent as fast as the client reads it, within a memory budget."""

    def __init__(
        self, body: bytes, *, media_type: str, headers: Mapping[str, str], budget: ResponseMemoryBudget
    ) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self._content = body
        self._budget = budget

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Send the response.

        Raises:
            HTTPException: 429, the memory budget is exceeded.
        """
        with self._budget.sending(self._content):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            view = memoryview(self._content)
            for start in range(0, len(view), _CHUNK):
                chunk = bytes(view[start : start + _CHUNK])
                await send({"type": "http.response.body", "body": chunk, "more_body": start + _CHUNK < len(view)})
                await asyncio.sleep(0)  # let other tasks run even if the client reads at once


async def _get_response_budget(request: Request) -> ResponseMemoryBudget:
    return cast(ResponseMemoryBudget, request.app.state.response_budget)


ResponseBudgetDep = Annotated[ResponseMemoryBudget, Depends(_get_response_budget)]


@dataclass(frozen=True)
class _LoadedImage:
    """Bytes of an encoded image, their SHA-256 in hexadecimal, and their media type."""

    data: bytes
    hash: str
    media_type: str

    @classmethod
    def of(cls, data: bytes | None) -> Self:
        media_type = detect_media_type(data) if data else None
        if data is None or media_type is None:
            raise http_error(410, "This image is no longer stored, was never made, or cannot be shown")
        return cls(data, sha256(data).hexdigest(), media_type)


@router.get(
    "/v1/pictures/{sha256}/{kind}",
    response_class=Response,
    responses={**_IMAGE_RESPONSES, **problem_responses(404, 410, 422, 429, 503)},
)
async def picture(
    request: Request,
    station: StationDep,
    pools: WorkerPoolsDep,
    budget: ResponseBudgetDep,
    digest: ContentHash,
    kind: ImageKind,
    model: ModelQuery = "",
) -> Response:
    """An image by its content hash: as uploaded, denoised, as a heat map, or as a thumbnail."""
    image = await _load(request, station, pools, digest, model, kind)
    caching = _IMMUTABLE if image.hash == digest else _ONE_HOUR
    return _respond(request, image, f"{digest[:12]}-{kind}", caching, budget)


@router.get(
    "/v1/inspections/{id}/pictures/{kind}",
    response_class=Response,
    responses={**_IMAGE_RESPONSES, **problem_responses(404, 410, 422, 429, 503)},
)
async def picture_of_inspection(
    request: Request,
    station: StationDep,
    pools: WorkerPoolsDep,
    budget: ResponseBudgetDep,
    number: InspectionId,
    kind: ImageKind,
) -> Response:
    """An image by the id of an inspection."""
    entry = (await pools.lookups.run(lambda: get_logged_inspection(station, number), request=request)).entry
    image = await _load(request, station, pools, entry.sha256, entry.model, kind)
    return _respond(request, image, f"{number}-{kind}", _REVALIDATE, budget)


async def _load(
    request: Request, station: Station, pools: WorkerPools, digest: str, model: str, kind: ImageKind
) -> _LoadedImage:
    """Load or render an image in a worker thread; concurrent requests for the same image share one job.

    Raises:
        HTTPException: 410, there is none; 429, the queue is full.
    """
    pool = pools.renderings if kind in _RENDERED else pools.images
    key = (kind, digest, model if kind in _RENDERED else "")
    store = station.image_store
    return await pool.run(lambda: _LoadedImage.of(_read(store, digest, model, kind)), request=request, key=key)


def _read(store: ImageStore, digest: str, model: str, kind: ImageKind) -> bytes | None:
    match kind:
        case "noisy":
            return store.viewable(digest)
        case "restored":
            return store.denoised(digest, model)
        case "heat":
            return store.heat(digest, model)
        case "thumbnail":
            return store.thumbnail(digest)


def _respond(request: Request, image: _LoadedImage, name: str, caching: str, budget: ResponseMemoryBudget) -> Response:
    tag = f'"{image.hash}"'
    headers = {"Cache-Control": caching, "ETag": tag, "Content-Security-Policy": IMAGE_SECURITY_POLICY}
    if _matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'inline; filename="{name}.{image.media_type.partition("/")[2]}"'
    return ImageResponse(image.data, media_type=image.media_type, headers=headers, budget=budget)


def _matches(if_none_match: str, tag: str) -> bool:
    """Return whether a header If-None-Match contains an ETag (RFC 9110, 13.1.2: weak ones too).

    >>> _matches('W/"a", "b"', '"a"'), _matches("*", '"a"'), _matches('"c"', '"a"'), _matches("", '"a"')
    (True, True, False, False)
    """
    tags = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return tag in tags or tags == ["*"]
