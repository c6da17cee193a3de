"""The station's app: what answers at which address, and what goes on beside."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearcast import __version__
from clearcast.errors import ClearcastError
from clearcast.station.api import history, inspecting, pages, pictures, sessions, standing
from clearcast.station.api.budget import AnswerBudget, MemoryBudget
from clearcast.station.api.documents import Documented
from clearcast.station.api.export import Exports
from clearcast.station.api.guard import Guard
from clearcast.station.api.metrics import Metrics
from clearcast.station.api.names import StationNames
from clearcast.station.api.problems import answer_problems
from clearcast.station.api.revocations import Revocations
from clearcast.station.api.roles import Access
from clearcast.station.api.station import Station
from clearcast.station.api.workers import Pools, WorkerPool

_PARTS = (inspecting, history, pictures, standing, sessions, pages)
_SWEEP_SECONDS = 3600.0
_logger = logging.getLogger("uvicorn.error")


def create_app(station: Station) -> FastAPI:
    """The web app of a station. It starts the station's desk and ends it; the log is the caller's to close.

    Args:
        station: what it works with; the desk is not started yet.
    """
    pools, answering = Pools(), inspecting.answering_pool()
    sweeper = WorkerPool("sweeping", threads=1, waiting=0, background=True, patience=_SWEEP_SECONDS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        station.desk.start()
        pools.start()
        answering.start()
        sweeper.start()
        sweeping = asyncio.create_task(_sweep(station, sweeper))
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await station.desk.close()
            pools.stop()
            answering.stop()
            sweeper.stop()

    app = Documented(
        title="Clearcast station",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirection would name the address without the path that a proxy shows it below
    )
    app.state.station = station
    app.state.routes = [route for part in _PARTS for route in part.router.routes if isinstance(route, Route)]
    app.state.pools = pools
    app.state.answering = answering
    app.state.exports = Exports()
    app.state.access = Access(station.tokens, Revocations(station.signed_out))
    app.state.budget = MemoryBudget(arriving=station.limits.request_bytes, held=station.limits.held_bytes)
    app.state.answers = AnswerBudget(station.limits.held_bytes)
    app.state.names = StationNames(station.log)
    app.state.metrics = metrics = Metrics(station.desk)
    answer_problems(app)
    app.add_middleware(Guard, hosts=station.hosts, picture_bytes=station.limits.request_bytes)
    app.add_middleware(Counted, metrics=metrics)  # what is added last comes first: it sees what the guard refuses
    for part in _PARTS:
        app.include_router(part.router)
    pages.mount(app)
    return app


class Counted:
    """Counts the requests that are answered with an error."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if message["status"] >= 400:
                    self._metrics.refused(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:  # a fault of ours, which is answered further out
            if not begun:
                self._metrics.refused(500)
            raise


async def _sweep(station: Station, pool: WorkerPool) -> None:
    """Let pictures go that need not be kept any longer, now and then; what fails is tried again."""
    keep = station.retention
    needed = station.log.hashes_with_feedback
    sweep = partial(station.shelf.apply_retention, keep_days=keep.days, keep_bytes=keep.bytes, needed=needed)
    while keep.days is not None or keep.bytes is not None:
        try:
            await pool.run(sweep)  # on a daemon thread: a drive that hangs must not keep the process from ending
        except (ClearcastError, OSError) as error:
            _logger.warning("Old pictures were not swept: %s", error)
        except Exception:  # a fault of ours: it neither ends the sweeping nor keeps the desk from closing
            _logger.exception("Old pictures were not swept")
        await asyncio.sleep(_SWEEP_SECONDS)
