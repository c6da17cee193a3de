"""Error responses (RFC 9457) and their OpenAPI documentation, error handlers, and security headers of responses."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from clearcast.core.errors import ClearcastError
from clearcast.station.api.schemas import Problem
from clearcast.station.image_store import StoreUnavailable
from clearcast.station.log import LogUnavailable
from clearcast.station.service import QueueFull, ServiceUnavailable, public_message

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
IMAGE_SECURITY_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"  # nothing embedded in an image may run
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


PROBLEM_MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = 5
_FRAMEWORK_DETAILS = {  # sentences for the framework's two-word messages
    "Not Found": "There is nothing at this address",
    "Method Not Allowed": "This address does not allow this method; the header Allow lists those it does",
}

_DESCRIPTIONS = {
    400: "malformed request",
    401: "missing or invalid token",
    403: "not allowed with this token, from this origin or under this host name",
    404: "no such inspection",
    408: "the request took too long to arrive",
    410: "the image is no longer stored, or cannot be shown",
    413: "too large, or too many files",
    415: "not an image, or not a form",
    422: "invalid value, or damaged image",
    429: "too many requests; the header Retry-After gives the seconds to wait",
    503: "model, log or disk not available; the header Retry-After gives the seconds to wait",
}
_WITH_TOKEN = {401, 403, 429}
_PUBLIC_PATHS = ("/healthz", "/readyz", "/v1/session")  # these need no token
_PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_DESCRIPTION = """The station logs every inspection before it responds.

Errors are `application/problem+json` (RFC 9457). If the station has tokens, send `Authorization: Bearer TOKEN`."""

ResponseDocs = dict[int | str, dict[str, Any]]
_logger = logging.getLogger("uvicorn.error")


class ProblemResponse(JSONResponse):
    """JSON response of type application/problem+json."""

    media_type = PROBLEM_MEDIA_TYPE


def problem_response(
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


def retry_after_header(seconds: float) -> dict[str, str]:
    """Create the header Retry-After, in whole seconds."""
    return {"Retry-After": str(max(1, round(seconds)))}


def http_error(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> HTTPException:
    """Create an exception that is answered with ``problem_response(status, detail)``."""
    return HTTPException(status, detail, dict(headers) if headers else None)


def install_error_handlers(app: FastAPI) -> None:
    """Install the handlers that answer every exception of an application with an error response."""
    app.add_exception_handler(StarletteHTTPException, _handle_http_error)
    app.add_exception_handler(RequestValidationError, _handle_invalid)
    app.add_exception_handler(QueueFull, _handle_queue_full)
    for unavailable in (ServiceUnavailable, LogUnavailable, StoreUnavailable):
        app.add_exception_handler(unavailable, _handle_unavailable)
    app.add_exception_handler(ClientDisconnect, _handle_disconnect)
    app.add_exception_handler(OSError, _handle_os_error)
    app.add_exception_handler(Exception, _handle_bug)


def _handle_http_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, StarletteHTTPException)
    headers = {**(error.headers or {}), **(_allow_header(request) if error.status_code == 405 else {})}
    return problem_response(error.status_code, _FRAMEWORK_DETAILS.get(error.detail, error.detail), headers=headers)


def _allow_header(request: Request) -> dict[str, str]:
    """Create the header Allow with all methods of a path; the framework lists only those of its first route."""
    routes: Sequence[Route] = request.app.state.routes
    known = [route.methods or set() for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {"Allow": ", ".join(sorted(set().union(*known)))} if known else {}


def _handle_invalid(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    faults = [{"where": [str(part) for part in fault["loc"]], "what": _fault_text(fault)} for fault in error.errors()]
    detail = "; ".join(f"{'.'.join(fault['where'][1:]) or 'body'}: {fault['what']}" for fault in faults[:5])
    return problem_response(422, detail, members={"faults": faults})


def _fault_text(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown name; see /docs for the names allowed"
    return str(fault["msg"]).removeprefix("Value error, ")


def _handle_queue_full(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, QueueFull)
    return problem_response(429, str(error), headers=retry_after_header(error.retry_after))


def _handle_unavailable(_: Request, error: Exception) -> ProblemResponse:
    """Answer with the public message; the full reason is logged only."""
    assert isinstance(error, ClearcastError)
    if isinstance(error, LogUnavailable):
        _logger.warning("%s", error)
    return unavailable_response(error)


def unavailable_response(error: ClearcastError, members: Mapping[str, Any] | None = None) -> ProblemResponse:
    """Create the error response 503 for an unavailable bundle, log or image store, with Retry-After."""
    return problem_response(503, public_message(error), headers=retry_after_header(_RETRY_SECONDS), members=members)


def _handle_disconnect(_: Request, __: Exception) -> ProblemResponse:
    """Answer a client that has disconnected, for the metrics only."""
    return problem_response(400, "The client disconnected before the request was complete")


def _handle_os_error(_: Request, error: Exception) -> ProblemResponse:
    """Answer an OS error, such as a full disk or too many open files: temporary, and not the sender's fault."""
    _logger.error("Operating system error", exc_info=error)
    reason = getattr(error, "strerror", None) or "cannot read or write a file"
    return problem_response(
        503, f"Operating system error at the station: {reason}", headers=retry_after_header(_RETRY_SECONDS)
    )


def _handle_bug(_: Request, __: Exception) -> ProblemResponse:
    """Answer a bug, with security headers: the middleware that adds them to other responses is not involved."""
    return problem_response(500, "Internal error of the station; see its log for details", headers=SECURITY_HEADERS)


def problem_responses(*statuses: int) -> ResponseDocs:
    """Document the error responses of a route, for FastAPI's argument ``responses``."""
    content = {PROBLEM_MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses}


class DocumentedApp(FastAPI):
    """Application whose OpenAPI document includes error responses and, if the station has tokens, the bearer scheme."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, generated once."""
        if self.openapi_schema is None:
            schema = get_openapi(title=self.title, version=self.version, description=_DESCRIPTION, routes=self.routes)
            tokens = self.state.station.tokens is not None
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    _add_common_responses(operation, secured=tokens and path not in _PUBLIC_PATHS)
            if tokens:
                components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["servers"] = [{"url": "."}]  # relative to the document, so that it holds behind a proxy's path
            self.openapi_schema = schema
        return self.openapi_schema


def _add_common_responses(operation: dict[str, Any], *, secured: bool) -> None:
    statuses = _WITH_TOKEN if secured else {403}
    for status, response in problem_responses(*statuses).items():
        operation["responses"].setdefault(str(status), response)
    if secured:
        operation["security"] = [{"token": []}]
