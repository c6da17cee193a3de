"""The OpenAPI document: problems of every route, and how tokens are given."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from clearcast.station.api.models import Problem
from clearcast.station.api.problems import MEDIA_TYPE

_WORDS = {
    400: "the request is broken",
    401: "a token is needed",
    403: "not by this token, from this page or by this name of the station",
    404: "there is no such inspection",
    408: "the sender fell silent",
    410: "the picture is no longer kept, or cannot be shown",
    413: "too large, or too many files",
    415: "no picture, or no form",
    422: "a value that is not allowed, or a damaged picture",
    429: "too much is waiting; header Retry-After says when to ask again",
    503: "not ready: model, log or disk is away; header Retry-After says when to ask again",
}
_GUARDED = {401, 403, 429}
_OPEN = ("/healthz", "/readyz", "/v1/session")  # the paths that need no token
_REF = {"$ref": "#/components/schemas/Problem"}
_TEXT = """Every inspection is written into the station's log before it is answered.

Errors are `application/problem+json` (RFC 9457). Where the station has tokens, send `Authorization: Bearer TOKEN`."""

Responses = dict[int | str, dict[str, Any]]


def told(*statuses: int) -> Responses:
    """The problems that a route may answer, for its documentation."""
    return {status: {"description": _WORDS[status], "content": {MEDIA_TYPE: {"schema": _REF}}} for status in statuses}


class Documented(FastAPI):
    """An app whose OpenAPI document tells of problems, and of tokens where its station has some."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            made = get_openapi(title=self.title, version=self.version, description=_TEXT, routes=self.routes)
            tokens = self.state.station.tokens is not None
            parts = made.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
            for path, methods in made["paths"].items():
                for operation in methods.values():
                    _complete(operation, secured=tokens and path not in _OPEN)
            if tokens:
                parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            made["servers"] = [{"url": "."}]  # relative to the document: below whatever path a proxy shows it
            self.openapi_schema = made
        return self.openapi_schema


def _complete(operation: dict[str, Any], *, secured: bool) -> None:
    statuses = _GUARDED if secured else {403}
    for status, response in told(*statuses).items():
        operation["responses"].setdefault(str(status), response)
    if secured:
        operation["security"] = [{"token": []}]
