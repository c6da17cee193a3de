"""Errors as problem+json (RFC 9457): what came, what was needed, what to do."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from clearcast.errors import ClearcastError
from clearcast.station.api.headers import SECURITY
from clearcast.station.desk import DeskAway, DeskFull, told_to_all
from clearcast.station.log import LogAway
from clearcast.station.shelf import ShelfAway

MEDIA_TYPE = "application/problem+json"
_AWAY_SECONDS = 5  # after which it is worth while to ask again
_logger = logging.getLogger("uvicorn.error")


class ProblemResponse(JSONResponse):
    """A JSON answer that says of itself that it tells a problem."""

    media_type = MEDIA_TYPE


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, members: Mapping[str, Any] | None = None
) -> ProblemResponse:
    """An answer that says what is wrong.

    Args:
        status: the HTTP status, 400..599.
        detail: a sentence for people.
        headers: more of them.
        members: more for programs, as JSON.
    """
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return ProblemResponse({**content, **(members or {})}, status, dict(headers or {}))


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when to ask again, in whole seconds."""
    return {"Retry-After": str(max(1, round(seconds)))}


def answer_problems(app: FastAPI) -> None:
    """Let an app answer every error so."""
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DeskFull, _full)
    for away in (DeskAway, LogAway, ShelfAway):
        app.add_exception_handler(away, _away)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(OSError, _system)
    app.add_exception_handler(Exception, _fault)


def _http(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, StarletteHTTPException)
    headers = {**(error.headers or {}), **(_allow(request) if error.status_code == 405 else {})}
    return problem(error.status_code, _SENTENCES.get(error.detail, error.detail), headers=headers)


def _allow(request: Request) -> dict[str, str]:
    """All methods of an address, where they are ours; the framework names those of its first route alone."""
    routes: Sequence[Route] = request.app.state.routes
    known = [route.methods or set() for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {"Allow": ", ".join(sorted(set().union(*known)))} if known else {}


def _invalid(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    faults = [{"where": [str(place) for place in fault["loc"]], "what": _what(fault)} for fault in error.errors()]
    told = "; ".join(f"{'.'.join(fault['where'][1:]) or 'body'}: {fault['what']}" for fault in faults[:5])
    return problem(422, told, members={"faults": faults})


def _what(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "there is no such name here; /docs lists those there are"
    return str(fault["msg"]).removeprefix("Value error, ")


def _full(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, DeskFull)
    return problem(429, str(error), headers=retry_after(error.retry_after))


def _away(_: Request, error: Exception) -> ProblemResponse:
    """The reason in full is for those who see the station's output."""
    assert isinstance(error, ClearcastError)
    if isinstance(error, LogAway):
        _logger.warning("%s", error)
    return away_problem(error)


def away_problem(error: ClearcastError, members: Mapping[str, Any] | None = None) -> ProblemResponse:
    """An answer that says that the bundle, the log or the folder of pictures is away, and when to ask again."""
    return problem(503, told_to_all(error), headers=retry_after(_AWAY_SECONDS), members=members)


def _gone(_: Request, __: Exception) -> ProblemResponse:
    """Nobody hears this."""
    return problem(400, "The sender went away before the request was whole")


def _system(_: Request, error: Exception) -> ProblemResponse:
    """The disk is full, or there are too many open files: nothing that the sender did, and it may pass."""
    _logger.error("The system refused", exc_info=error)
    what = getattr(error, "strerror", None) or "a file could not be written or read"
    return problem(503, f"The system of the station refused: {what}", headers=retry_after(_AWAY_SECONDS))


def _fault(_: Request, __: Exception) -> ProblemResponse:
    """This answer is given outside the guard, which sets the headers of all others."""
    return problem(500, "A fault of the station, not yours; its own output tells more", headers=SECURITY)


def refused(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> HTTPException:
    """An error that is answered as ``problem(status, detail)``."""
    return HTTPException(status, detail, dict(headers) if headers else None)


_SENTENCES = {  # what the framework says in two words
    "Not Found": "There is nothing at this address",
    "Method Not Allowed": "This address does not take this method; header Allow names those it takes",
}
