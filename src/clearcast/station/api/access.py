"""Access control: roles of requests, rate limits on wrong tokens and new sessions, and routes to sign in and out."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from clearcast.station.api.connections import ROLE_LEVEL_KEY
from clearcast.station.api.problems import http_error, problem_responses, retry_after_header
from clearcast.station.api.schemas import Login
from clearcast.station.api.settings import Station
from clearcast.station.api.tokens import SESSION_SECONDS, PageSession, RevokedSessions, Role, StationTokens
from clearcast.station.api.workers import WorkerPoolsDep

_FREE_TRIES = 10  # wrong tokens of one address without a delay
_FREE_TRIES_IN_TOTAL = 200  # per minute, of all addresses together
_RESET_SECONDS = 900.0  # after the last wrong token of an address
_MINUTE = 60.0
_MAX_WAIT = 300.0  # seconds
_MAX_ADDRESSES = 10_000  # in memory
_SESSION_BURST = 200  # new sessions at once
_SESSION_INTERVAL = 18.0  # seconds per further session: 34,000 in the week for which a revoked one is kept
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="clearcast"'}
_HOW_TO_SIGN_IN = "enter one on the page, or send 'Authorization: Bearer TOKEN'"

router = APIRouter(tags=["session"])


@dataclass
class _Tries:
    """Number of wrong tokens, and the time of the last one."""

    count: int = 0
    last: float = 0.0


class WrongTokenLimiter:
    """Rate limit on wrong tokens. A valid one is never refused, so nobody can lock out those who have one.

    Tokens are too long to be guessed at any rate (see ``read_token_file``); the limit makes attempts cheap for the
    station and visible in its metrics.
    """

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Tries] = OrderedDict()
        self._total = _Tries()

    def add(self, address: str) -> float:
        """Count a wrong token; return the seconds to wait before the next attempt, 0 if there were few."""
        now = time.monotonic()
        tries = self._by_address.pop(address, _Tries())
        if now - tries.last > _RESET_SECONDS:
            tries.count = 0
        tries.count, tries.last = tries.count + 1, now
        self._by_address[address] = tries  # most recent last
        if len(self._by_address) > _MAX_ADDRESSES:
            self._by_address.popitem(last=False)
        return max(_backoff(tries.count - _FREE_TRIES), self._total_wait(now))

    def _total_wait(self, now: float) -> float:
        """Count a wrong token of any address in the current minute; return the seconds to wait."""
        if now - self._total.last > _MINUTE:
            self._total = _Tries(last=now)
        self._total.count += 1
        return _MINUTE if self._total.count > _FREE_TRIES_IN_TOTAL else 0.0


def _backoff(excess: int) -> float:
    """Return an exponential backoff in seconds."""
    return min(2.0 ** min(excess, 20), _MAX_WAIT) if excess > 0 else 0.0


class SessionLimiter:
    """Rate limit (token bucket) on new sessions, and so on the number of revoked ones to remember."""

    def __init__(self) -> None:
        self._free = float(_SESSION_BURST)
        self._last = time.monotonic()

    def take(self) -> float:
        """Count a new session; return 0, or if there are too many, the seconds to wait instead."""
        now = time.monotonic()
        self._free = min(self._free + (now - self._last) / _SESSION_INTERVAL, _SESSION_BURST)
        self._last = now
        if self._free < 1:
            return (1 - self._free) * _SESSION_INTERVAL
        self._free -= 1
        return 0.0


class AccessControl:
    """Access control: maps requests to roles.

    Attributes:
        tokens: of the station; None: everybody who reaches the station may do everything.
        revoked: revoked sessions.
        sign_ins: limit on new sessions by role, so that readers cannot use up the operators' share.
    """

    def __init__(self, tokens: StationTokens | None, revoked: RevokedSessions) -> None:
        self.tokens = tokens
        self.revoked = revoked
        self.sign_ins = {role: SessionLimiter() for role in Role}
        self._failed = WrongTokenLimiter()

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
            raise http_error(
                429, "Too many wrong tokens; wait before the next attempt", headers=retry_after_header(wait)
            )
        return role

    def session_of(self, request: Request) -> PageSession | None:
        """Return the valid session in the cookie of a request; None if there is none."""
        session = self.tokens.parse_session(request.cookies.get(_cookie_name(request), "")) if self.tokens else None
        return None if session is None or session in self.revoked else session


def _client_address(request: Request) -> str:
    """Return the IP address by which wrong tokens are counted, "" if there is none.

    A proxy's header X-Forwarded-For may contain any text, and an IPv6 address any text after ``%``.
    """
    host = request.client.host if request.client else ""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return ""


async def get_station(request: Request) -> Station:
    """Get the station of the application, as a FastAPI dependency."""
    return cast(Station, request.app.state.station)


StationDep = Annotated[Station, Depends(get_station)]


def get_access_control(request: Request) -> AccessControl:
    """Get the access control of the application."""
    return cast(AccessControl, request.app.state.access)


async def require_reader(request: Request) -> Role:
    """Require a token or session, as a FastAPI dependency.

    Raises:
        HTTPException: 401, there is no valid one; 429, too many wrong tokens.
    """
    role = get_access_control(request).role_of(request)
    if role is None:
        raise http_error(401, f"Missing or invalid token of this station: {_HOW_TO_SIGN_IN}", headers=_CHALLENGE)
    request.scope[ROLE_LEVEL_KEY] = 2 if role is Role.OPERATOR else 1
    return role


async def require_operator(role: Annotated[Role, Depends(require_reader)]) -> None:
    """Require the role of an operator, as a FastAPI dependency.

    Raises:
        HTTPException: 403, a reader's token.
    """
    if role is not Role.OPERATOR:
        raise http_error(403, "A reader's token cannot do this; use the operator's token")


def set_session_cookie(request: Request, response: Response, tokens: StationTokens, role: Role) -> None:
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


def clear_session_cookie(request: Request, response: Response) -> None:
    """Delete the session cookie."""
    response.set_cookie(_cookie_name(request), max_age=0, path=None, httponly=True, samesite="strict")


def _cookie_name(request: Request) -> str:
    """Return the cookie's name, with the port: cookies ignore ports, and two stations may run on one machine."""
    return f"clearcast-session-{request.url.port or 0}"


@router.post("/v1/session", status_code=204, responses=problem_responses(400, 401, 408, 413, 422, 429))
async def begin(request: Request, response: Response, login: Login) -> None:
    """Sign in on the page with a token; the response sets a session cookie that no script can read."""
    access = get_access_control(request)
    if access.tokens is None:
        return
    role = access.role_of_token(request, login.token.strip())
    if role is None:
        raise http_error(401, "Unknown token; the tokens are in the station's token file")
    wait = access.sign_ins[role].take()
    if wait:
        raise http_error(429, f"Too many sign-ins as {role}; retry in a moment", headers=retry_after_header(wait))
    set_session_cookie(request, response, access.tokens, role)


@router.delete("/v1/session", status_code=204, responses=problem_responses(429, 503))
async def end(request: Request, response: Response, pools: WorkerPoolsDep) -> None:
    """Sign out; the session is revoked, including copies of its cookie."""
    access = get_access_control(request)
    session = access.session_of(request)
    if session:
        await pools.sign_outs.run(lambda: access.revoked.add(session))
    clear_session_cookie(request, response)
