"""A real PostgreSQL server for tests, on a socket of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
_PATIENCE = 120  # seconds on a slow, busy machine


class Postgres:
    """A server in a temporary folder; it can be stopped and started again.

    PostgreSQL does not run as root, so root starts it as Debian's user "postgres", in a folder that this user may see.
    """

    def __init__(self) -> None:
        self._programs = _PROGRAMS[-1].parent
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="clearcast-", dir="/tmp"))  # its socket wants a short name
        if self._user:
            shutil.chown(self._folder, self._user)
        self._server: subprocess.Popen[bytes] | None = None
        try:
            self._run("initdb", "--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync")
            self.start()
        except BaseException:
            self.remove()
            raise

    @staticmethod
    def installed() -> bool:
        return bool(_PROGRAMS)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def make(self, database: str) -> str:
        """Make an empty database; its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"'.encode())
        return self.url(database)

    def clear(self, database: str) -> None:
        """Take away all that is in a database."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self._folder}", "-c", "fsync=off"]
            command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options]
            self._server = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", user=self._user, group=self._user)
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                assert self._server.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < until, "PostgreSQL does not answer"
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server at once, as if its machine had failed."""
        if self._server:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(_PATIENCE)
            self._server = None

    def remove(self) -> None:
        """Stop the server, and remove all that it kept."""
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *options: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", user=self._user, group=self._user)
        assert done.returncode == 0, done.stderr
