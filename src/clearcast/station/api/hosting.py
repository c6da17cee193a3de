"""Run a station on this machine: its folder, who may reach it, the server, and a clean end."""

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

from clearcast.errors import OutputError
from clearcast.runtime.signing import Trust
from clearcast.station.api.app import create_app
from clearcast.station.api.connections import ConnectionLimits, connections_at_most, protocol_within
from clearcast.station.api.station import Retention, Station
from clearcast.station.api.tokens import Tokens, make_tokens, others_can_read, read_tokens
from clearcast.station.desk import Desk
from clearcast.station.log import open_log
from clearcast.station.shelf import Shelf

_LOOK_SECONDS = 0.5
_END_SECONDS = 30  # that a slow sender may keep the station from ending
_IDLE_SECONDS = 75  # after which a connection is closed; a client that used it just then would see it break
_HEADER_BYTES = 64 * 1024
_BACKLOG = 128  # connections that are accepted at a time, before those beyond the limit are closed
_TURN_SECONDS = 0.0005  # that a thread may keep the interpreter while another wants it, such as to start an inspection

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Hosting:
    """What a station is started with.

    Attributes:
        bundle: decides.
        db: URL of the log's database; None: a file in ``data``.
        data: folder of log and pictures; made where it is not there.
        host, port: where to listen; port 0: any that is free.
        shadow: a second bundle, whose opinion is logged too.
        trust: whose signature both must have; None: they need none.
        name: of the station.
        token_file: who may do what; made where it is not there. None: everybody on this machine may do everything.
        keep: how long pictures stay.
        threads: how many pictures are inspected at a time; None: one a core.
    """

    bundle: Path
    db: str | None
    data: Path
    host: str
    port: int
    shadow: Path | None
    trust: Trust | None = None
    name: str
    token_file: Path | None
    keep: Retention
    threads: int | None


def host_station(hosting: Hosting, say: Say) -> None:
    """Run a station until Ctrl-C or the system's wish that it end; what was taken is finished.

    Args:
        hosting: what to run.
        say: prints a line.

    Raises:
        OutputError: the folder cannot be written or another station uses it, the address is taken, the token file is
            broken, or there is none where others can reach the station.
        LogAway: the database does not answer.
    """
    if hosting.token_file is None and not _is_local(hosting.host):
        raise OutputError(
            f"--host {hosting.host}: others can reach the station there, so they need a token; name a file with "
            "--token-file (it is made where it is not there), or leave out --host"
        )
    with ExitStack() as open_things:
        open_things.enter_context(_alone(hosting.data))
        listener = open_things.enter_context(_listener(hosting.host, hosting.port))
        tokens = _tokens(hosting, say)
        pictures = hosting.data.resolve() / "pictures"
        log = open_log(hosting.db or hosting.data / "log.sqlite", pictures=pictures)
        open_things.enter_context(closing(log))
        shelf = Shelf(pictures)
        log.set_image_folder(pictures)
        desk = Desk(
            hosting.bundle, log=log, shelf=shelf, shadow=hosting.shadow, trust=hosting.trust, threads=hosting.threads
        )
        station = Station(
            desk=desk,
            log=log,
            shelf=shelf,
            name=hosting.name,
            retention=hosting.keep,
            tokens=tokens,
            hosts=_hosts(hosting.host) if tokens is None else None,
            signed_out=hosting.data / "signed-out",
        )
        say(f"Open {_address(listener)} in a browser; the API is described at {_address(listener)}/docs")
        say(f"Log and pictures: {hosting.data.resolve()}" + (" (log in the database)" if hosting.db else ""))
        _serve(station, listener, say)
    say("Stopped. What was taken is finished and logged.")


def server_of(station: Station, limits: ConnectionLimits | None = None) -> uvicorn.Server:
    """The server that answers for a station; ``run`` it with sockets that listen.

    Args:
        station: what it answers for.
        limits: of its connections; None: as many as the process' file descriptors allow.
    """
    limits = limits or ConnectionLimits(most=connections_at_most())
    return uvicorn.Server(
        uvicorn.Config(
            create_app(station),
            http=protocol_within(limits),
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            timeout_keep_alive=_IDLE_SECONDS,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_END_SECONDS,
        )
    )


def _serve(station: Station, listener: socket.socket, say: Say) -> None:
    server = server_of(station)
    sys.setswitchinterval(_TURN_SECONDS)

    async def run() -> None:
        telling = asyncio.create_task(_tell(station.desk, say))
        try:
            await server.serve(sockets=[listener])
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling

    def end(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    loop_factory = server.config.get_loop_factory()
    with _signals_to(end), asyncio.Runner(loop_factory=loop_factory) as runner:  # the server raises signals again
        runner.run(run())


async def _tell(desk: Desk, say: Say) -> None:
    """Say whether the station is ready, and whenever that changes."""
    told = None
    while True:
        state = desk.state()
        now = f"Ready: {state.model}" if state.ready else f"Not ready: {'; '.join(state.reasons)}"
        if now != told:
            say(now)
            told = now
        await asyncio.sleep(_LOOK_SECONDS)


def _tokens(hosting: Hosting, say: Say) -> Tokens | None:
    """Those of the token file, if it has one."""
    path = hosting.token_file
    if path is None:
        return None
    if not path.exists():
        tokens = make_tokens(path)
        say(f"{path}: made, with a token for operators and one for readers; the page asks for one of them")
        return tokens
    if others_can_read(path):
        say(f"{path}: others on this machine can read the tokens; mend that with 'chmod 600 {path}'")
    return read_tokens(path)


def _hosts(host: str) -> frozenset[str] | None:
    """By which names a station on this machine alone is addressed."""
    return frozenset({"localhost", "127.0.0.1", "[::1]", _bracketed(host)}) if _is_local(host) else None


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ip_address(host).is_unspecified:  # every network of this machine
        host = socket.gethostname()
    return f"http://{_bracketed(host)}:{port}"


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that an address that is taken is told before anything else is done."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        # Connections inherit it. asyncio does not set it for those of a listener that was made here, and without it the
        # body of an answer waits some 40 ms until its head was acknowledged.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error  # it knows no host of that name
        raise OutputError(f"{host}, port {port}: cannot be listened on ({reason}); choose another --port") from None


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Hold the folder for this station; the system lets go of it when the process ends, however it ends."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "station.lock").touch(mode=0o600)
        lock = (data / "station.lock").open("ab")
    except OSError as error:
        raise OutputError(f"{data}: cannot be written ({error}); choose another folder with --data") from None
    with lock:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{data}: another station uses this folder; stop that, or choose another folder with --data"
                ) from None
        yield


@contextmanager
def _signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
