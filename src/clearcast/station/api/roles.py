"""Authentication and authorisation: by a token in the header Authorization, or by the page's session cookie."""

from ipaddress import ip_address
from typing import Annotated, cast

from fastapi import Depends, Request, Response

from clearcast.station.api.connections import KNOWN
from clearcast.station.api.problems import refused, retry_after
from clearcast.station.api.revocations import Revocations
from clearcast.station.api.station import Station
from clearcast.station.api.throttling import FailedSignIns, SignIns
from clearcast.station.api.tokens import SESSION_SECONDS, Role, Session, Tokens

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="clearcast"'}
_HOW_TO_SIGN_IN = "enter one on the page, or send 'Authorization: Bearer TOKEN'"


async def station_of(request: Request) -> Station:
    """Get the station of the application, as a FastAPI dependency."""
    return cast(Station, request.app.state.station)


Here = Annotated[Station, Depends(station_of)]


class Access:
    """Access control: maps requests to roles.

    Attributes:
        tokens: of the station; None: everybody who reaches the station may do everything.
        revoked: revoked sessions.
        sign_ins: limit on new sessions by role, so that readers cannot use up the operators' share.
    """

    def __init__(self, tokens: Tokens | None, revoked: Revocations) -> None:
        self.tokens = tokens
        self.revoked = revoked
        self.sign_ins = {role: SignIns() for role in Role}
        self._failed = FailedSignIns()

    def role_of(self, request: Request) -> Role | None:
        """Determine the role of a request; None if it has no valid token or session.

        Raises:
            HTTPException: 429, too many wrong tokens.
        """
        if self.tokens is None:
            return Role.OPERATOR
        given = request.headers.get("authorization")
        if given is None:
            session = self.session_of(request)
            return session.role if session else None
        scheme, _, token = given.partition(" ")
        return self.role_of_token(request, token.strip() if scheme.lower() == "bearer" else "")

    def role_of_token(self, request: Request, token: str) -> Role | None:
        """Determine the role of a token; None if it is wrong.

        Raises:
            HTTPException: 429, too many wrong tokens.
        """
        assert self.tokens
        role = self.tokens.role_of(token)
        wait = 0.0 if role else self._failed.add(_client_address(request))
        if wait:
            raise refused(429, "Too many wrong tokens; wait before the next attempt", headers=retry_after(wait))
        return role

    def session_of(self, request: Request) -> Session | None:
        """The valid session in the cookie of a request, if there is one."""
        session = self.tokens.parse_session(request.cookies.get(_cookie_name(request), "")) if self.tokens else None
        return None if session is None or session in self.revoked else session


def _client_address(request: Request) -> str:
    """IP address by which wrong tokens are counted, "" if there is none.

    A proxy's header X-Forwarded-For may contain any text, and an IPv6 address any text after ``%``.
    """
    host = request.client.host if request.client else ""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return ""


def access_of(request: Request) -> Access:
    """Get the access control of the application."""
    return cast(Access, request.app.state.access)


async def reader(request: Request) -> Role:
    """Require a token or session, as a FastAPI dependency.

    Raises:
        HTTPException: 401, there is no valid one; 429, too many wrong tokens.
    """
    role = access_of(request).role_of(request)
    if role is None:
        raise refused(401, f"Missing or invalid token of this station: {_HOW_TO_SIGN_IN}", headers=_CHALLENGE)
    request.scope[KNOWN] = 2 if role is Role.OPERATOR else 1
    return role


async def operator(role: Annotated[Role, Depends(reader)]) -> None:
    """Require the role of an operator, as a FastAPI dependency.

    Raises:
        HTTPException: 403, a reader's token.
    """
    if role is not Role.OPERATOR:
        raise refused(403, "A reader's token cannot do this; use the operator's token")


def begin_session(request: Request, response: Response, tokens: Tokens, role: Role) -> None:
    """Set the session cookie of the page; no script can read it, and no other site can make a browser send it.

    It has no path, so that browsers send it to URLs next to it, such as ``/clearcast/v1`` behind a proxy.
    """
    response.set_cookie(
        _cookie_name(request),
        tokens.create_session(role),
        max_age=SESSION_SECONDS,
        path=None,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def end_session(request: Request, response: Response) -> None:
    """Delete the session cookie."""
    response.set_cookie(_cookie_name(request), max_age=0, path=None, httponly=True, samesite="strict")


def _cookie_name(request: Request) -> str:
    """Name with the port: cookies ignore ports, and two stations may run on one machine."""
    return f"clearcast-session-{request.url.port or 0}"
