"""Error responses as problem+json (RFC 9457): what came, what was expected, what to do."""

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
_RETRY_SECONDS = 5
_logger = logging.getLogger("uvicorn.error")


class ProblemResponse(JSONResponse):
    """JSON response of type application/problem+json."""

    media_type = MEDIA_TYPE


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, members: Mapping[str, Any] | None = None
) -> ProblemResponse:
    """Create an error response.

    Args:
        status: HTTP status, 400..599.
        detail: a sentence for people.
        headers: additional headers.
        members: additional JSON members for programs.
    """
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return ProblemResponse({**content, **(members or {})}, status, dict(headers or {}))


def retry_after(seconds: float) -> dict[str, str]:
    """Create the header Retry-After, in whole seconds."""
    return {"Retry-After": str(max(1, round(seconds)))}


def answer_problems(app: FastAPI) -> None:
    """Install the handlers that answer every exception of an application with an error response."""
    app.add_exception_handler(StarletteHTTPException, _handle_http_error)
    app.add_exception_handler(RequestValidationError, _handle_invalid)
    app.add_exception_handler(DeskFull, _handle_queue_full)
    for unavailable in (DeskAway, LogAway, ShelfAway):
        app.add_exception_handler(unavailable, _handle_unavailable)
    app.add_exception_handler(ClientDisconnect, _handle_disconnect)
    app.add_exception_handler(OSError, _handle_os_error)
    app.add_exception_handler(Exception, _handle_bug)


def _handle_http_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, StarletteHTTPException)
    headers = {**(error.headers or {}), **(_allow_header(request) if error.status_code == 405 else {})}
    return problem(error.status_code, _FRAMEWORK_DETAILS.get(error.detail, error.detail), headers=headers)


def _allow_header(request: Request) -> dict[str, str]:
    """The header Allow with all methods of a path; the framework lists only those of its first route."""
    routes: Sequence[Route] = request.app.state.routes
    known = [route.methods or set() for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {"Allow": ", ".join(sorted(set().union(*known)))} if known else {}


def _handle_invalid(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    faults = [{"where": [str(part) for part in fault["loc"]], "what": _fault_text(fault)} for fault in error.errors()]
    detail = "; ".join(f"{'.'.join(fault['where'][1:]) or 'body'}: {fault['what']}" for fault in faults[:5])
    return problem(422, detail, members={"faults": faults})


def _fault_text(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown name; see /docs for the names allowed"
    return str(fault["msg"]).removeprefix("Value error, ")


def _handle_queue_full(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, DeskFull)
    return problem(429, str(error), headers=retry_after(error.retry_after))


def _handle_unavailable(_: Request, error: Exception) -> ProblemResponse:
    """The full reason is logged only, not sent."""
    assert isinstance(error, ClearcastError)
    if isinstance(error, LogAway):
        _logger.warning("%s", error)
    return away_problem(error)


def away_problem(error: ClearcastError, members: Mapping[str, Any] | None = None) -> ProblemResponse:
    """Create the error response 503 for an unavailable bundle, log or image store, with Retry-After."""
    return problem(503, told_to_all(error), headers=retry_after(_RETRY_SECONDS), members=members)


def _handle_disconnect(_: Request, __: Exception) -> ProblemResponse:
    """Only for the metrics: the client is gone."""
    return problem(400, "The client disconnected before the request was complete")


def _handle_os_error(_: Request, error: Exception) -> ProblemResponse:
    """Such as a full disk or too many open files: temporary, and not the sender's fault."""
    _logger.error("Operating system error", exc_info=error)
    reason = getattr(error, "strerror", None) or "cannot read or write a file"
    return problem(503, f"Operating system error at the station: {reason}", headers=retry_after(_RETRY_SECONDS))


def _handle_bug(_: Request, __: Exception) -> ProblemResponse:
    """This response is sent outside the middleware that sets the security headers of all others."""
    return problem(500, "Internal error of the station; see its log for details", headers=SECURITY)


def refused(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> HTTPException:
    """Create an exception that is answered with ``problem(status, detail)``."""
    return HTTPException(status, detail, dict(headers) if headers else None)


_FRAMEWORK_DETAILS = {  # sentences for the framework's two-word messages
    "Not Found": "There is nothing at this address",
    "Method Not Allowed": "This address does not allow this method; the header Allow lists those it does",
}
