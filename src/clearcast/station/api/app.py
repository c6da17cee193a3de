"""FastAPI application of the station: routers, middleware, shared state and the periodic retention task."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from fastapi import FastAPI
from starlette.routing import Route

from clearcast import __version__
from clearcast.core.errors import ClearcastError
from clearcast.station.api import access, health_routes, image_routes, inspect_routes, log_routes, page_routes
from clearcast.station.api.access import AccessControl
from clearcast.station.api.health_routes import StationMetrics
from clearcast.station.api.log_export import ExportLimit
from clearcast.station.api.memory_budget import ResponseMemoryBudget, UploadMemoryBudget
from clearcast.station.api.middleware import ErrorCounterMiddleware, RequestGuardMiddleware
from clearcast.station.api.problems import DocumentedApp, install_error_handlers
from clearcast.station.api.settings import Station
from clearcast.station.api.tokens import RevokedSessions
from clearcast.station.api.upload_checks import StationNameRegistry
from clearcast.station.api.workers import WorkerPool, WorkerPools

_ROUTE_MODULES = (inspect_routes, log_routes, image_routes, health_routes, access, page_routes)
_RETENTION_SECONDS = 3600.0  # between two retention runs
_logger = logging.getLogger("uvicorn.error")


def create_app(station: Station) -> FastAPI:
    """Create the web application of a station.

    The application starts and closes the station's inspection service. The caller closes the log.

    Args:
        station: its components; the inspection service must not be started yet.
    """
    pools, response_pool = WorkerPools(), inspect_routes.make_response_pool()
    app = DocumentedApp(
        title="Clearcast station",
        version=__version__,
        lifespan=_lifespan(station, pools, response_pool),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lack the path prefix of a proxy
    )
    app.state.pools, app.state.response_pool = pools, response_pool
    _set_state(app, station)
    install_error_handlers(app)
    app.add_middleware(RequestGuardMiddleware, hosts=station.hosts, image_request_bytes=station.limits.request_bytes)
    # Added last, so outermost: it also counts the refusals of the request guard.
    app.add_middleware(ErrorCounterMiddleware, count_error=app.state.metrics.count_error)
    for module in _ROUTE_MODULES:
        app.include_router(module.router)
    page_routes.mount_static_files(app)
    return app


def _lifespan(
    station: Station, pools: WorkerPools, response_pool: WorkerPool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan handler; it starts and stops the inspection service, worker pools and retention task."""
    retention_pool = WorkerPool("retention", threads=1, queue_size=0, background=True, timeout=_RETENTION_SECONDS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        station.service.start()
        pools.start()
        response_pool.start()
        retention_pool.start()
        retention = asyncio.create_task(_apply_retention(station, retention_pool))
        try:
            yield
        finally:
            retention.cancel()
            with suppress(asyncio.CancelledError):
                await retention
            await station.service.close()
            pools.stop()
            response_pool.stop()
            retention_pool.stop()

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


async def _apply_retention(station: Station, pool: WorkerPool) -> None:
    """Delete images that exceed the retention limits, every hour; a failure is logged and retried."""
    limits = station.retention
    needed = station.log.hashes_with_feedback
    delete_expired = partial(
        station.image_store.apply_retention, keep_days=limits.days, keep_bytes=limits.bytes, needed=needed
    )
    while limits.days is not None or limits.bytes is not None:
        try:
            await pool.run(delete_expired)  # on a daemon thread: a hanging drive must not keep the process from ending
        except (ClearcastError, OSError) as error:
            _logger.warning("Cannot delete old images: %s", error)
        except Exception:  # a bug: it must neither end the retention task nor keep the service from closing
            _logger.exception("Cannot delete old images")
        await asyncio.sleep(_RETENTION_SECONDS)
