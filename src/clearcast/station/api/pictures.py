"""The routes of pictures.

A picture's address holds the SHA-256 of the bytes that came and the bundle that made something of them, and no number
of an inspection: a log that is begun anew gives the same numbers to other parts.
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

_FOREVER = f"private, max-age={365 * 24 * 3600}, immutable"  # of the very bytes that the address names
_A_WHILE = "private, max-age=3600"  # of what is made of them, which another version may make otherwise
_ASK_AGAIN = "private, no-cache"  # of a number, which may come to mean another picture

router = APIRouter(tags=["history"], dependencies=[Depends(reader)])
Kind = Literal["noisy", "restored", "heat", "thumbnail"]
Hash = Annotated[str, Path(alias="sha256", pattern="^[0-9a-f]{64}$", description="of the bytes that came")]
_DRAWN = frozenset({"restored", "heat"})  # may take seconds
Model = Annotated[Text, Query(max_length=1000, description="which bundle restored it, or says where the defect is")]


async def _answers(request: Request) -> AnswerBudget:
    return cast(AnswerBudget, request.app.state.answers)


Sending = Annotated[AnswerBudget, Depends(_answers)]
_ANSWERS: Responses = {
    200: {"content": {f"image/{kind}": {"schema": {"type": "string"}} for kind in ("jpeg", "png", "webp")}},
    304: {"description": "The picture is still what If-None-Match names"},
}


@dataclass(frozen=True)
class _ReadPicture:
    """A picture's bytes, their SHA-256 in hexadecimal, and their media type."""

    data: bytes
    hash: str
    media_type: str

    @classmethod
    def of(cls, data: bytes | None) -> Self:
        media_type = kind_of(data) if data else None
        if data is None or media_type is None:
            raise refused(410, "This picture is no longer kept, never was made, or cannot be shown")
        return cls(data, sha256(data).hexdigest(), media_type)


@router.get(
    "/v1/pictures/{sha256}/{kind}", response_class=Response, responses={**_ANSWERS, **told(404, 410, 422, 429, 503)}
)
async def picture(
    request: Request, station: Here, pools: Workers, answers: Sending, digest: Hash, kind: Kind, model: Model = ""
) -> Response:
    """A picture by its content: as it came, without noise, where the defect is, or small."""
    read = await _read(request, station, pools, digest, model, kind)
    caching = _FOREVER if read.hash == digest else _A_WHILE
    return _answer(request, read, f"{digest[:12]}-{kind}", caching, answers)


@router.get(
    "/v1/inspections/{id}/pictures/{kind}",
    response_class=Response,
    responses={**_ANSWERS, **told(404, 410, 422, 429, 503)},
)
async def picture_of_inspection(
    request: Request, station: Here, pools: Workers, answers: Sending, number: Number, kind: Kind
) -> Response:
    """The same by the number of an inspection."""
    entry = (await pools.lookups.run(lambda: record_of(station, number), request=request)).entry
    read = await _read(request, station, pools, entry.sha256, entry.model, kind)
    return _answer(request, read, f"{number}-{kind}", _ASK_AGAIN, answers)


async def _read(request: Request, station: Station, pools: Pools, digest: str, model: str, kind: Kind) -> _ReadPicture:
    """A picture, made by a thread of its class of work; equal requests that wait at the same time share it.

    Raises:
        HTTPException: 410, there is none; 429, too many wait already.
    """
    pool = pools.drawings if kind in _DRAWN else pools.pictures
    key = (kind, digest, model if kind in _DRAWN else "")
    return await pool.run(
        lambda: _ReadPicture.of(_picture(station.shelf, digest, model, kind)), request=request, key=key
    )


def _picture(shelf: Shelf, digest: str, model: str, kind: Kind) -> bytes | None:
    match kind:
        case "noisy":
            return shelf.viewable(digest)
        case "restored":
            return shelf.denoised(digest, model)
        case "heat":
            return shelf.heat(digest, model)
        case "thumbnail":
            return shelf.thumbnail(digest)


def _answer(request: Request, read: _ReadPicture, name: str, caching: str, budget: AnswerBudget) -> Response:
    tag = f'"{read.hash}"'
    headers = {"Cache-Control": caching, "ETag": tag, "Content-Security-Policy": PICTURE_POLICY}
    if _is_known(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'inline; filename="{name}.{read.media_type.partition("/")[2]}"'
    return PictureResponse(read.data, media_type=read.media_type, headers=headers, budget=budget)


def _is_known(asked: str, tag: str) -> bool:
    """Whether a header If-None-Match names a tag (RFC 9110, 13.1.2: weak ones too).

    >>> _is_known('W/"a", "b"', '"a"'), _is_known("*", '"a"'), _is_known('"c"', '"a"'), _is_known("", '"a"')
    (True, True, False, False)
    """
    tags = [each.strip().removeprefix("W/") for each in asked.split(",")]
    return tag in tags or tags == ["*"]
