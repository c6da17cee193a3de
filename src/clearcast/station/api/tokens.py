"""Tokens of operators and readers in a file, signed session cookies of the page, and revoked sessions."""

import hashlib
import hmac
import logging
import os
import secrets
import stat
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clearcast.core.errors import OutputError
from clearcast.core.files import replace_file

SESSION_SECONDS = 7 * 24 * 3600
MIN_TOKEN_LENGTH = 32  # minimum characters of a token; generated ones have 43
_MIN_DIFFERENT = 8  # different characters of a token: 32 random hexadecimal digits have more, typed patterns fewer
_FILE_HEADER = """\
# Tokens of a Clearcast station. Operators inspect images and give feedback; readers only view.
# To change a token, replace it here and restart the station; this ends the sessions that were started with it.
"""
_MIN_REWRITE_COUNT = 1000  # sessions; below, expired ones are not worth removing
_MAX_TIME_DIGITS = 12  # of a Unix time
_logger = logging.getLogger("uvicorn.error")


class Role(StrEnum):
    """Role of a client: a reader views, an operator also inspects and gives feedback."""

    OPERATOR = "operator"
    READER = "reader"


@dataclass(frozen=True, kw_only=True)
class PageSession:
    """Session of the page: role, expiry (Unix time in seconds), and random id."""

    role: Role
    ends: int
    number: str


@dataclass(frozen=True, kw_only=True)
class StationTokens:
    """The two tokens of a station; strings without white space."""

    operator: str
    reader: str

    def role_of(self, token: str) -> Role | None:
        """Determine the role of a token, in constant time; None if it is wrong."""
        given = token.encode("utf-8", "replace")
        is_operator = hmac.compare_digest(given, self.operator.encode())
        is_reader = hmac.compare_digest(given, self.reader.encode())
        return Role.OPERATOR if is_operator else Role.READER if is_reader else None

    def create_session(self, role: Role) -> str:
        """Create a signed session for a cookie; it is valid for ``SESSION_SECONDS`` and does not contain the token."""
        ends = str(int(time.time()) + SESSION_SECONDS)
        number = secrets.token_hex(16)
        return f"{role}.{ends}.{number}.{self._sign(role, ends, number)}"

    def parse_session(self, text: str) -> PageSession | None:
        """Verify a session cookie; None if it has expired or its signature is wrong."""
        name, ends, number, signature = (text.split(".") + 4 * [""])[:4]
        if name not in set(Role) or not (ends.isascii() and ends.isdecimal() and len(ends) <= _MAX_TIME_DIGITS):
            return None
        expected = self._sign(Role(name), ends, number)
        is_valid = hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode())
        if not is_valid or int(ends) <= time.time():
            return None
        return PageSession(role=Role(name), ends=int(ends), number=number)

    def _sign(self, role: Role, ends: str, number: str) -> str:
        token = self.operator if role is Role.OPERATOR else self.reader
        message = f"clearcast session {role} {ends} {number}".encode("utf-8", "replace")
        return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()


def read_token_file(path: Path) -> StationTokens:
    """Read a token file: lines ``operator: TOKEN`` and ``reader: TOKEN``, and comments that begin with ``#``.

    Raises:
        OutputError: it cannot be read, lacks a token, or the tokens are equal or weak.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot read the token file ({error})") from None
    found = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and not line.lstrip().startswith("#"):
            found[key.strip()] = value.strip()
    operator, reader = found.get("operator", ""), found.get("reader", "")
    weakness = _weakness("operator", operator) or _weakness("reader", reader)
    if not weakness and operator == reader:
        weakness = "the two tokens are the same"
    if weakness:
        raise OutputError(
            f"{path}: {weakness}; expected two lines, 'operator: TOKEN' and 'reader: TOKEN', with two different "
            f"tokens of at least {MIN_TOKEN_LENGTH} random characters, {_MIN_DIFFERENT} of them different; or remove "
            "the file to have new tokens created"
        )
    return StationTokens(operator=operator, reader=reader)


def _weakness(name: str, token: str) -> str:
    """Return why a token could be guessed; "" if it could not."""
    if not token:
        return f"the token of the {name} is missing"
    if len(token) < MIN_TOKEN_LENGTH:
        return f"the token of the {name} has {len(token)} characters"
    different = len(set(token))
    return f"the token of the {name} has only {different} different characters" if different < _MIN_DIFFERENT else ""


def create_token_file(path: Path) -> StationTokens:
    """Create a token file with new random tokens that only its owner can read.

    Raises:
        OutputError: it exists already, or cannot be written.
    """
    tokens = StationTokens(operator=secrets.token_urlsafe(32), reader=secrets.token_urlsafe(32))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(f"{_FILE_HEADER}operator: {tokens.operator}\nreader: {tokens.reader}\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot create the token file ({error})") from None
    return tokens


def is_readable_by_others(path: Path) -> bool:
    """Return whether other users of this machine can read a file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


class RevokedSessions:
    """Set of revoked sessions, kept until they expire; in a file, so that they stay revoked after a restart.

    If the file cannot be read or written, a warning is logged; sessions revoked since the start stay revoked.

    Args:
        path: of the file; None: in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._ends = _read(path) if path and path.exists() else {}
        self._lock = threading.Lock()
        self._rewrite_at = 0  # number of sessions from which the file is rewritten without expired ones

    def __contains__(self, session: PageSession) -> bool:
        return session.number in self._ends

    def add(self, session: PageSession) -> None:
        """Revoke a session."""
        with self._lock:
            self._ends[session.number] = session.ends
            try:
                if len(self._ends) >= self._rewrite_at:
                    self._rewrite()
                elif self._path:
                    _append(self._path, session)
            except OSError as error:
                self._rewrite_at = 0  # the next call writes this one too
                _logger.warning("%s: cannot save a revoked session (%s)", self._path, error)

    def _rewrite(self) -> None:
        now = time.time()
        self._ends = {number: ends for number, ends in self._ends.items() if ends > now}
        if self._path:
            with replace_file(self._path) as temporary:
                temporary.write_text("".join(map(_line, self._ends, self._ends.values())), "ascii")
        self._rewrite_at = max(_MIN_REWRITE_COUNT, 2 * len(self._ends))


def _line(number: str, ends: int) -> str:
    return f"{number} {ends}\n"


def _append(path: Path, session: PageSession) -> None:
    with path.open("a", encoding="ascii") as file:
        file.write(_line(session.number, session.ends))


def _read(path: Path) -> dict[str, int]:
    """Read the sessions of a file; damaged lines are skipped."""
    try:
        lines = path.read_text("ascii", errors="replace").splitlines()
    except OSError as error:
        _logger.warning("%s: cannot read the revoked sessions (%s)", path, error)
        return {}
    found, damaged = dict[str, int](), 0
    for line in lines:
        number, _, ends = line.strip().partition(" ")
        if number and ends.isdecimal() and len(ends) <= _MAX_TIME_DIGITS:
            found[number] = int(ends)
        else:
            damaged += 1
    if damaged:
        _logger.warning("%s: %d of %d lines are damaged; these sessions may be valid again", path, damaged, len(lines))
    return found
