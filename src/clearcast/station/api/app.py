"""FastAPI application of the station: routers, middleware, shared state and the periodic retention task."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearcast import __version__
from clearcast.core.errors import ClearcastError
from clearcast.station.api import access, health_routes, image_routes, inspect_routes, log_routes, page_routes
from clearcast.station.api.access import AccessControl
from clearcast.station.api.health_routes import StationMetrics
from clearcast.station.api.log_export import ExportLimit
from clearcast.station.api.memory_budget import ResponseMemoryBudget, UploadMemoryBudget
from clearcast.station.api.middleware import RequestGuardMiddleware
from clearcast.station.api.problems import DocumentedApp, install_error_handlers
from clearcast.station.api.settings import Station
from clearcast.station.api.tokens import RevokedSessions
from clearcast.station.api.upload_checks import StationNameRegistry
from clearcast.station.api.workers import WorkerPool, WorkerPools

_ROUTE_MODULES = (inspect_routes, log_routes, image_routes, health_routes, access, page_routes)
_SWEEP_SECONDS = 3600.0
_logger = logging.getLogger("uvicorn.error")


def create_app(station: Station) -> FastAPI:
    """Create the web application of a station.

    The application starts and closes the station's inspection service. The caller closes the log.

    Args:
        station: its components; the inspection service must not be started yet.
    """
    pools, answering = WorkerPools(), inspect_routes.make_response_pool()
    app = DocumentedApp(
        title="Clearcast station",
        version=__version__,
        lifespan=_lifespan(station, pools, answering),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lack the path prefix of a proxy
    )
    app.state.pools, app.state.answering = pools, answering
    _set_state(app, station)
    install_error_handlers(app)
    app.add_middleware(RequestGuardMiddleware, hosts=station.hosts, image_request_bytes=station.limits.request_bytes)
    app.add_middleware(
        ErrorCounterMiddleware, metrics=app.state.metrics
    )  # added last, so outermost: it counts the guard's refusals
    for module in _ROUTE_MODULES:
        app.include_router(module.router)
    page_routes.mount_static_files(app)
    return app


def _lifespan(
    station: Station, pools: WorkerPools, answering: WorkerPool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The lifespan handler: starts and stops the inspection service, the worker pools and the retention task."""
    sweeper = WorkerPool("sweeping", threads=1, queue_size=0, background=True, timeout=_SWEEP_SECONDS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        station.service.start()
        pools.start()
        answering.start()
        sweeper.start()
        retention = asyncio.create_task(_apply_retention(station, sweeper))
        try:
            yield
        finally:
            retention.cancel()
            with suppress(asyncio.CancelledError):
                await retention
            await station.service.close()
            pools.stop()
            answering.stop()
            sweeper.stop()

    return lifespan


def _set_state(app: FastAPI, station: Station) -> None:
    """Put into ``app.state`` what the routes' dependencies read from it."""
    app.state.station = station
    app.state.routes = [
        route for module in _ROUTE_MODULES for route in module.router.routes if isinstance(route, Route)
    ]
    app.state.exports = ExportLimit()
    app.state.access = AccessControl(station.tokens, RevokedSessions(station.signed_out))
    app.state.upload_budget = UploadMemoryBudget(arriving=station.limits.request_bytes, held=station.limits.held_bytes)
    app.state.response_budget = ResponseMemoryBudget(station.limits.held_bytes)
    app.state.station_names = StationNameRegistry(station.log)
    app.state.metrics = StationMetrics(station.service)


class ErrorCounterMiddleware:
    """Middleware that counts error responses by HTTP status."""

    def __init__(self, app: ASGIApp, *, metrics: StationMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        started = False

        async def counting_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if message["status"] >= 400:
                    self._metrics.count_error(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counting_send)
        except Exception:  # a bug, answered with 500 by an outer middleware
            if not started:
                self._metrics.count_error(500)
            raise


async def _apply_retention(station: Station, pool: WorkerPool) -> None:
    """Delete images that exceed the retention limits, every hour; a failure is logged and retried."""
    keep = station.retention
    needed = station.log.hashes_with_feedback
    sweep = partial(station.image_store.apply_retention, keep_days=keep.days, keep_bytes=keep.bytes, needed=needed)
    while keep.days is not None or keep.bytes is not None:
        try:
            await pool.run(sweep)  # on a daemon thread: a hanging drive must not keep the process from ending
        except (ClearcastError, OSError) as error:
            _logger.warning("Cannot delete old images: %s", error)
        except Exception:  # a bug: it must neither end the retention task nor keep the service from closing
            _logger.exception("Cannot delete old images")
        await asyncio.sleep(_SWEEP_SECONDS)
