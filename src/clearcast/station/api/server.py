"""Server of the station: data folder, listening socket, tokens, uvicorn and graceful shutdown."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn

from clearcast.bundle.signing import TrustedSigners
from clearcast.core.errors import OutputError
from clearcast.station.api.app import create_app
from clearcast.station.api.connections import ConnectionLimits, make_protocol, max_connections
from clearcast.station.api.settings import RetentionLimits, Station
from clearcast.station.api.tokens import StationTokens, create_token_file, is_readable_by_others, read_token_file
from clearcast.station.image_store import ImageStore
from clearcast.station.log import InspectionLog, open_log
from clearcast.station.service import InspectionService

_STATUS_SECONDS = 0.5  # between two checks of the readiness
_SHUTDOWN_SECONDS = 30  # that open requests may delay the shutdown
_KEEP_ALIVE_SECONDS = 75  # long, because a client that reuses a connection just when it is closed gets an error
_HEADER_BYTES = 64 * 1024
_BACKLOG = 128  # connections accepted at a time, before those beyond the limit are closed
_SWITCH_SECONDS = 0.0005  # switch interval of threads: short, so that starting an inspection does not wait

PrintLine = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of a station's server.

    Attributes:
        bundle: gives the verdicts.
        db: URL of the log's database; None: a file in ``data``.
        data: folder of log and images; created if it does not exist.
        host, port: address to listen on; port 0: any free one.
        shadow: a second bundle, whose predictions are only logged.
        trust: trusted signers of both bundles; None: no signature is required.
        name: of the station.
        token_file: tokens of operators and readers; created if it does not exist. None: everybody on this machine may
            do everything.
        keep: retention of images.
        threads: images inspected in parallel; None: one per core.
    """

    bundle: Path
    db: str | None
    data: Path
    host: str
    port: int
    shadow: Path | None
    trust: TrustedSigners | None = None
    name: str
    token_file: Path | None
    keep: RetentionLimits
    threads: int | None


def run_station(settings: ServerSettings, print_line: PrintLine) -> None:
    """Run a station until Ctrl-C or SIGTERM; accepted images are still inspected and logged.

    Args:
        settings: of the server.
        print_line: prints a line.

    Raises:
        OutputError: the folder cannot be written or another station uses it, the address is in use, the token file is
            invalid, or it is missing although other machines can reach the station.
        LogUnavailable: the database is not available.
    """
    if settings.token_file is None and not _is_local(settings.host):
        raise OutputError(
            f"--host {settings.host}: other machines can reach the station, so it needs tokens; give a file with "
            "--token-file (it is created if it does not exist), or leave out --host"
        )
    with ExitStack() as resources:
        resources.enter_context(_locked(settings.data))
        listener = resources.enter_context(_listener(settings.host, settings.port))
        tokens = _load_tokens(settings, print_line)
        image_folder = settings.data.resolve() / "pictures"
        log = open_log(settings.db or settings.data / "log.sqlite", image_folder=image_folder)
        resources.enter_context(closing(log))
        store = ImageStore(image_folder)
        log.set_image_folder(image_folder)
        station = _make_station(settings, log, store, tokens)
        print_line(f"Open {_address(listener)} in a browser; the API is documented at {_address(listener)}/docs")
        print_line(f"Log and images: {settings.data.resolve()}" + (" (log in the database)" if settings.db else ""))
        _serve(station, listener, print_line)
    print_line("Stopped. All accepted images are inspected and logged.")


def _make_station(
    settings: ServerSettings, log: InspectionLog, store: ImageStore, tokens: StationTokens | None
) -> Station:
    service = InspectionService(
        settings.bundle,
        log=log,
        image_store=store,
        shadow=settings.shadow,
        trust=settings.trust,
        threads=settings.threads,
    )
    return Station(
        service=service,
        log=log,
        image_store=store,
        name=settings.name,
        retention=settings.keep,
        tokens=tokens,
        hosts=_local_hosts(settings.host) if tokens is None else None,
        signed_out=settings.data / "signed-out",
    )


def make_server(station: Station, limits: ConnectionLimits | None = None) -> uvicorn.Server:
    """Create the uvicorn server of a station; call its ``run`` with listening sockets.

    Args:
        station: what it serves.
        limits: on connections; None: as many as the file descriptors of the process allow.
    """
    limits = limits or ConnectionLimits(most=max_connections())
    return uvicorn.Server(
        uvicorn.Config(
            create_app(station),
            http=make_protocol(limits),
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
    )


def _serve(station: Station, listener: socket.socket, print_line: PrintLine) -> None:
    server = make_server(station)
    sys.setswitchinterval(_SWITCH_SECONDS)

    async def run() -> None:
        reporting = asyncio.create_task(_report_readiness(station.service, print_line))
        try:
            await server.serve(sockets=[listener])
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting

    def stop(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    loop_factory = server.config.get_loop_factory()
    with (
        _handling_signals(stop),
        asyncio.Runner(loop_factory=loop_factory) as runner,
    ):  # the server raises signals again
        runner.run(run())


async def _report_readiness(service: InspectionService, print_line: PrintLine) -> None:
    """Print whether the station is ready, at the start and after each change."""
    last = None
    while True:
        state = service.state()
        line = f"Ready: {state.model}" if state.ready else f"Not ready: {'; '.join(state.reasons)}"
        if line != last:
            print_line(line)
            last = line
        await asyncio.sleep(_STATUS_SECONDS)


def _load_tokens(settings: ServerSettings, print_line: PrintLine) -> StationTokens | None:
    """Read or create the token file; None if the station has none."""
    path = settings.token_file
    if path is None:
        return None
    if not path.exists():
        tokens = create_token_file(path)
        print_line(f"{path}: created with one token for operators and one for readers; enter one of them on the page")
        return tokens
    if is_readable_by_others(path):
        print_line(f"{path}: other users of this machine can read the tokens; run 'chmod 600 {path}'")
    return read_token_file(path)


def _local_hosts(host: str) -> frozenset[str] | None:
    """Return the host names of a station that only this machine can reach; None if others can."""
    return frozenset({"localhost", "127.0.0.1", "[::1]", _bracketed(host)}) if _is_local(host) else None


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a host name
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ip_address(host).is_unspecified:  # every network of this machine
        host = socket.gethostname()
    return f"http://{_bracketed(host)}:{port}"


def _listener(host: str, port: int) -> socket.socket:
    """Open the listening socket first, so that an address in use is reported before anything else happens."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        # Connections inherit TCP_NODELAY. asyncio does not set it for an external listener, and without it the body of
        # a response waits some 40 ms for the acknowledgement of its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error  # unknown host name
        raise OutputError(f"cannot listen on {host}, port {port} ({reason}); choose another --port") from None


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Lock the folder for this station; the system releases the lock when the process ends."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "station.lock").touch(mode=0o600)
        lock = (data / "station.lock").open("ab")
    except OSError as error:
        raise OutputError(f"{data}: cannot write ({error}); choose another folder with --data") from None
    with lock:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{data}: another station uses this folder; stop it, or choose another folder with --data"
                ) from None
        yield


@contextmanager
def _handling_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle SIGINT and SIGTERM within the block."""
    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
