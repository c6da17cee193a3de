"""Routes to sign in with a token on the page, and to sign out."""

from fastapi import APIRouter, Request, Response

from clearcast.station.api.documents import told
from clearcast.station.api.models import Login
from clearcast.station.api.problems import refused, retry_after
from clearcast.station.api.roles import access_of, begin_session, end_session
from clearcast.station.api.workers import Workers

router = APIRouter(tags=["session"])


@router.post("/v1/session", status_code=204, responses=told(400, 401, 408, 413, 422, 429))
async def begin(request: Request, response: Response, login: Login) -> None:
    """Sign in on the page with a token; the response sets a session cookie that no script can read."""
    access = access_of(request)
    if access.tokens is None:
        return
    role = access.role_of_token(request, login.token.strip())
    if role is None:
        raise refused(401, "Unknown token; the tokens are in the station's token file")
    wait = access.sign_ins[role].take()
    if wait:
        raise refused(429, f"Too many sign-ins as {role}; retry in a moment", headers=retry_after(wait))
    begin_session(request, response, access.tokens, role)


@router.delete("/v1/session", status_code=204, responses=told(429, 503))
async def end(request: Request, response: Response, pools: Workers) -> None:
    """Sign out; the session is revoked, including copies of its cookie."""
    access = access_of(request)
    session = access.session_of(request)
    if session:
        await pools.sign_outs.run(lambda: access.revoked.add(session))
    end_session(request, response)
