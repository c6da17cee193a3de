"""Who asks: by a token in the header Authorization, or by the page's cookie."""

from typing import Annotated, cast

from fastapi import Depends, Request, Response

from clearcast.station.api.problems import refused
from clearcast.station.api.station import Station
from clearcast.station.api.tokens import SESSION_SECONDS, Role, Tokens

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="clearcast"'}
_ASK = "open the page and give a token, or send 'Authorization: Bearer TOKEN'"


async def station_of(request: Request) -> Station:
    """The station behind the app that answers."""
    return cast(Station, request.app.state.station)


Here = Annotated[Station, Depends(station_of)]


def role_of(request: Request, tokens: Tokens | None) -> Role | None:
    """What the one who asks may do; None: nothing. Without tokens, whoever reaches the station may do everything."""
    if tokens is None:
        return Role.OPERATOR
    given = request.headers.get("authorization")
    if given is None:
        return tokens.role_of_session(request.cookies.get(_cookie(request), ""))
    scheme, _, token = given.partition(" ")
    return tokens.role_of(token.strip()) if scheme.lower() == "bearer" else None


async def reader(request: Request, station: Here) -> Role:
    """Let those look who may.

    Raises:
        HTTPException: 401, no token or session that counts here.
    """
    role = role_of(request, station.tokens)
    if role is None:
        raise refused(401, f"A token of this station is needed: {_ASK}", headers=_CHALLENGE)
    return role


async def operator(role: Annotated[Role, Depends(reader)]) -> None:
    """Let those act who may.

    Raises:
        HTTPException: 403, a reader's token.
    """
    if role is not Role.OPERATOR:
        raise refused(403, "A reader's token only looks; the operator's is needed for this")


def begin_session(request: Request, response: Response, tokens: Tokens, role: Role) -> None:
    """Give the page a cookie that no script can read and no other site can make it send."""
    response.set_cookie(
        _cookie(request),
        tokens.session(role),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def end_session(request: Request, response: Response) -> None:
    """Take the cookie back."""
    response.delete_cookie(_cookie(request), httponly=True, samesite="strict")


def _cookie(request: Request) -> str:
    """Cookies do not know ports, and two stations may stand on one machine."""
    return f"clearcast-{request.url.port or 0}"
