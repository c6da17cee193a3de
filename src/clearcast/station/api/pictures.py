"""The routes of pictures.

A picture's address holds the SHA-256 of the bytes that came and the bundle that made something of them, and no number
of an inspection: a log that is begun anew gives the same numbers to other parts.
"""

from hashlib import sha256
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from clearcast.station.api.documents import Responses, told
from clearcast.station.api.gate import kind_of
from clearcast.station.api.headers import PICTURE_POLICY
from clearcast.station.api.history import Number, record_of
from clearcast.station.api.models import Text
from clearcast.station.api.problems import refused
from clearcast.station.api.roles import Here, reader
from clearcast.station.shelf import Shelf

_FOREVER = f"private, max-age={365 * 24 * 3600}, immutable"  # of the very bytes that the address names
_A_WHILE = "private, max-age=3600"  # of what is made of them, which another version may make otherwise
_ASK_AGAIN = "private, no-cache"  # of a number, which may come to mean another picture

router = APIRouter(tags=["history"], dependencies=[Depends(reader)])
Kind = Literal["noisy", "restored", "heat", "thumbnail"]
Hash = Annotated[str, Path(alias="sha256", pattern="^[0-9a-f]{64}$", description="of the bytes that came")]
Model = Annotated[Text, Query(max_length=1000, description="which bundle restored it, or says where the defect is")]
_ANSWERS: Responses = {
    200: {"content": {f"image/{kind}": {"schema": {"type": "string"}} for kind in ("jpeg", "png", "webp")}},
    304: {"description": "The picture is still what If-None-Match names"},
}


@router.get("/v1/pictures/{sha256}/{kind}", response_class=Response, responses={**_ANSWERS, **told(404, 410, 422, 503)})
def picture(request: Request, station: Here, digest: Hash, kind: Kind, model: Model = "") -> Response:
    """A picture by its content: as it came, without noise, where the defect is, or small."""
    data = _picture(station.shelf, digest, model, kind)
    caching = _FOREVER if _hash(data) == digest else _A_WHILE
    return _answer(request, data, f"{digest[:12]}-{kind}", caching)


@router.get(
    "/v1/inspections/{id}/pictures/{kind}", response_class=Response, responses={**_ANSWERS, **told(404, 410, 422, 503)}
)
def picture_of_inspection(request: Request, station: Here, number: Number, kind: Kind) -> Response:
    """The same by the number of an inspection."""
    entry = record_of(station, number).entry
    data = _picture(station.shelf, entry.sha256, entry.model, kind)
    return _answer(request, data, f"{number}-{kind}", _ASK_AGAIN)


def _picture(shelf: Shelf, digest: str, model: str, kind: Kind) -> bytes | None:
    match kind:
        case "noisy":
            return shelf.viewable(digest)
        case "restored":
            return shelf.restored(digest, model)
        case "heat":
            return shelf.heat(digest, model)
        case "thumbnail":
            return shelf.thumbnail(digest)


def _answer(request: Request, data: bytes | None, name: str, caching: str) -> Response:
    media_type = kind_of(data) if data else None
    if data is None or media_type is None:
        raise refused(410, "This picture is no longer kept, never was made, or cannot be shown")
    tag = f'"{_hash(data)}"'
    headers = {"Cache-Control": caching, "ETag": tag, "Content-Security-Policy": PICTURE_POLICY}
    if _is_known(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'inline; filename="{name}.{media_type.partition("/")[2]}"'
    return Response(data, media_type=media_type, headers=headers)


def _hash(data: bytes | None) -> str | None:
    return sha256(data).hexdigest() if data else None


def _is_known(asked: str, tag: str) -> bool:
    """Whether a header If-None-Match names a tag (RFC 9110, 13.1.2: weak ones too).

    >>> _is_known('W/"a", "b"', '"a"'), _is_known("*", '"a"'), _is_known('"c"', '"a"'), _is_known("", '"a"')
    (True, True, False, False)
    """
    tags = [each.strip().removeprefix("W/") for each in asked.split(",")]
    return tag in tags or tags == ["*"]
