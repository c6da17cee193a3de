"""OpenAPI document: error responses of every route, and the security scheme."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from clearcast.station.api.models import Problem
from clearcast.station.api.problems import MEDIA_TYPE

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
_REF = {"$ref": "#/components/schemas/Problem"}
_DESCRIPTION = """The station logs every inspection before it responds.

Errors are `application/problem+json` (RFC 9457). If the station has tokens, send `Authorization: Bearer TOKEN`."""

Responses = dict[int | str, dict[str, Any]]


def told(*statuses: int) -> Responses:
    """Document the error responses of a route, for FastAPI's argument ``responses``."""
    content = {MEDIA_TYPE: {"schema": _REF}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses}


class Documented(FastAPI):
    """Application whose OpenAPI document includes error responses and, if the station has tokens, the bearer scheme."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, generated once."""
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
    for status, response in told(*statuses).items():
        operation["responses"].setdefault(str(status), response)
    if secured:
        operation["security"] = [{"token": []}]
