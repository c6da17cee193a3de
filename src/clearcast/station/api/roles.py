"""Who asks: by a token in the header Authorization, or by the page's cookie."""

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
_ASK = "open the page and give a token, or send 'Authorization: Bearer TOKEN'"


async def station_of(request: Request) -> Station:
    """The station behind the app that answers."""
    return cast(Station, request.app.state.station)


Here = Annotated[Station, Depends(station_of)]


class Access:
    """Decides who may do what.

    Attributes:
        tokens: of the station; None: whoever reaches the station may do everything.
        revoked: sessions that people signed out of.
        sign_ins: the limit on sessions that begin, by role, so that a reader's cannot use up the operators'.
    """

    def __init__(self, tokens: Tokens | None, revoked: Revocations) -> None:
        self.tokens = tokens
        self.revoked = revoked
        self.sign_ins = {role: SignIns() for role in Role}
        self._failed = FailedSignIns()

    def role_of(self, request: Request) -> Role | None:
        """What the one who asks may do; None: nothing.

        Raises:
            HTTPException: 429, a wrong token, and there were too many of them.
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
        """Whose token this is; None: nobody's.

        Raises:
            HTTPException: 429, a wrong token, and there were too many of them.
        """
        assert self.tokens
        role = self.tokens.role_of(token)
        wait = 0.0 if role else self._failed.add(_address_of(request))
        if wait:
            raise refused(429, "Too many wrong tokens came from here; wait before the next", headers=retry_after(wait))
        return role

    def session_of(self, request: Request) -> Session | None:
        """The session of the page that asks, unless it has ended."""
        session = self.tokens.parse_session(request.cookies.get(_cookie(request), "")) if self.tokens else None
        return None if session is None or session in self.revoked else session


def _address_of(request: Request) -> str:
    """Whose wrong tokens are counted together: an IP address, or "" for all without one.

    A proxy's header X-Forwarded-For may hold any text, and IPv6 any after ``%``.
    """
    host = request.client.host if request.client else ""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return ""


def access_of(request: Request) -> Access:
    """What decides at the app that answers."""
    return cast(Access, request.app.state.access)


async def reader(request: Request) -> Role:
    """Let those look who may.

    Raises:
        HTTPException: 401, no token or session that counts here; 429, too many wrong tokens.
    """
    role = access_of(request).role_of(request)
    if role is None:
        raise refused(401, f"A token of this station is needed: {_ASK}", headers=_CHALLENGE)
    request.scope[KNOWN] = 2 if role is Role.OPERATOR else 1
    return role


async def operator(role: Annotated[Role, Depends(reader)]) -> None:
    """Let those act who may.

    Raises:
        HTTPException: 403, a reader's token.
    """
    if role is not Role.OPERATOR:
        raise refused(403, "A reader's token only looks; the operator's is needed for this")


def begin_session(request: Request, response: Response, tokens: Tokens, role: Role) -> None:
    """Give the page a cookie that no script can read and no other site can make it send.

    It names no path, so that browsers send it to what is beside its address, such as ``/clearcast/v1`` behind a proxy.
    """
    response.set_cookie(
        _cookie(request),
        tokens.session(role),
        max_age=SESSION_SECONDS,
        path=None,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def end_session(request: Request, response: Response) -> None:
    """Take the cookie back."""
    response.set_cookie(_cookie(request), max_age=0, path=None, httponly=True, samesite="strict")


def _cookie(request: Request) -> str:
    """Cookies do not know ports, and two stations may stand on one machine."""
    return f"clearcast-session-{request.url.port or 0}"
