"""Routes of images.

An image's URL contains the SHA-256 of the uploaded bytes and the bundle that processed them, not the id of an
inspection: a new log assigns the same ids to other parts.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Literal, Self, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from clearcast.station.api.budget import AnswerBudget
from clearcast.station.api.documents import Responses, told
from clearcast.station.api.gate import kind_of
from clearcast.station.api.headers import PICTURE_POLICY
from clearcast.station.api.history import Number, record_of
from clearcast.station.api.models import Text
from clearcast.station.api.problems import refused
from clearcast.station.api.roles import Here, reader
from clearcast.station.api.sending import PictureResponse
from clearcast.station.api.station import Station
from clearcast.station.api.workers import Pools, Workers
from clearcast.station.shelf import Shelf

_IMMUTABLE = f"private, max-age={365 * 24 * 3600}, immutable"  # the uploaded bytes, which the URL identifies
_ONE_HOUR = "private, max-age=3600"  # derived images, which another version may render differently
_REVALIDATE = "private, no-cache"  # by id, which may refer to another image later

router = APIRouter(tags=["history"], dependencies=[Depends(reader)])
Kind = Literal["noisy", "restored", "heat", "thumbnail"]
Hash = Annotated[str, Path(alias="sha256", pattern="^[0-9a-f]{64}$", description="of the uploaded bytes")]
_RENDERED = frozenset({"restored", "heat"})  # may take seconds
Model = Annotated[Text, Query(max_length=1000, description="bundle that made the denoised image or heat map")]


async def _get_response_budget(request: Request) -> AnswerBudget:
    return cast(AnswerBudget, request.app.state.response_budget)


Sending = Annotated[AnswerBudget, Depends(_get_response_budget)]
_IMAGE_RESPONSES: Responses = {
    200: {"content": {f"image/{kind}": {"schema": {"type": "string"}} for kind in ("jpeg", "png", "webp")}},
    304: {"description": "The image has not changed (If-None-Match)"},
}


@dataclass(frozen=True)
class _LoadedImage:
    """Bytes of an encoded image, their SHA-256 in hexadecimal, and their media type."""

    data: bytes
    hash: str
    media_type: str

    @classmethod
    def of(cls, data: bytes | None) -> Self:
        media_type = kind_of(data) if data else None
        if data is None or media_type is None:
            raise refused(410, "This image is no longer stored, was never made, or cannot be shown")
        return cls(data, sha256(data).hexdigest(), media_type)


@router.get(
    "/v1/pictures/{sha256}/{kind}",
    response_class=Response,
    responses={**_IMAGE_RESPONSES, **told(404, 410, 422, 429, 503)},
)
async def picture(
    request: Request, station: Here, pools: Workers, budget: Sending, digest: Hash, kind: Kind, model: Model = ""
) -> Response:
    """An image by its content hash: as uploaded, denoised, as a heat map, or as a thumbnail."""
    image = await _load(request, station, pools, digest, model, kind)
    caching = _IMMUTABLE if image.hash == digest else _ONE_HOUR
    return _respond(request, image, f"{digest[:12]}-{kind}", caching, budget)


@router.get(
    "/v1/inspections/{id}/pictures/{kind}",
    response_class=Response,
    responses={**_IMAGE_RESPONSES, **told(404, 410, 422, 429, 503)},
)
async def picture_of_inspection(
    request: Request, station: Here, pools: Workers, budget: Sending, number: Number, kind: Kind
) -> Response:
    """An image by the id of an inspection."""
    entry = (await pools.lookups.run(lambda: record_of(station, number), request=request)).entry
    image = await _load(request, station, pools, entry.sha256, entry.model, kind)
    return _respond(request, image, f"{number}-{kind}", _REVALIDATE, budget)


async def _load(request: Request, station: Station, pools: Pools, digest: str, model: str, kind: Kind) -> _LoadedImage:
    """Load or render an image in a worker thread; concurrent requests for the same image share one job.

    Raises:
        HTTPException: 410, there is none; 429, the queue is full.
    """
    pool = pools.renderings if kind in _RENDERED else pools.images
    key = (kind, digest, model if kind in _RENDERED else "")
    store = station.image_store
    return await pool.run(lambda: _LoadedImage.of(_read(store, digest, model, kind)), request=request, key=key)


def _read(store: Shelf, digest: str, model: str, kind: Kind) -> bytes | None:
    match kind:
        case "noisy":
            return store.viewable(digest)
        case "restored":
            return store.denoised(digest, model)
        case "heat":
            return store.heat(digest, model)
        case "thumbnail":
            return store.thumbnail(digest)


def _respond(request: Request, image: _LoadedImage, name: str, caching: str, budget: AnswerBudget) -> Response:
    tag = f'"{image.hash}"'
    headers = {"Cache-Control": caching, "ETag": tag, "Content-Security-Policy": PICTURE_POLICY}
    if _matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'inline; filename="{name}.{image.media_type.partition("/")[2]}"'
    return PictureResponse(image.data, media_type=image.media_type, headers=headers, budget=budget)


def _matches(if_none_match: str, tag: str) -> bool:
    """Whether a header If-None-Match contains an ETag (RFC 9110, 13.1.2: weak ones too).

    >>> _matches('W/"a", "b"', '"a"'), _matches("*", '"a"'), _matches('"c"', '"a"'), _matches("", '"a"')
    (True, True, False, False)
    """
    tags = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return tag in tags or tags == ["*"]
