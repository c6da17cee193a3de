"""The routes by which the page gives a token once, and is remembered."""

from fastapi import APIRouter, Request, Response

from clearcast.station.api.documents import told
from clearcast.station.api.models import Login
from clearcast.station.api.problems import refused
from clearcast.station.api.roles import Here, begin_session, end_session

router = APIRouter(tags=["session"])


@router.post("/v1/session", status_code=204, responses=told(400, 401, 408, 413, 422))
async def begin(request: Request, response: Response, station: Here, login: Login) -> None:
    """Sign in on the page with a token; the answer sets a cookie that no script can read."""
    if station.tokens is None:
        return
    role = station.tokens.role_of(login.token.strip())
    if role is None:
        raise refused(401, "This is no token of this station; its token file holds them")
    begin_session(request, response, station.tokens, role)


@router.delete("/v1/session", status_code=204)
async def end(request: Request, response: Response) -> None:
    """Sign out."""
    end_session(request, response)
