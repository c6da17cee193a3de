"""Who may do what: two tokens in a file, and sessions of the page that are made of them."""

import hashlib
import hmac
import os
import secrets
import stat
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clearcast.errors import OutputError

SESSION_SECONDS = 7 * 24 * 3600
SHORTEST = 32  # characters of a token; those made here have 43
_FEWEST = 8  # different characters of a token: those with fewer were typed; 32 random hexadecimal digits have more
_HEAD = """\
# Tokens of a Clearcast station. Whoever has the operator's may inspect and give feedback; the reader's only looks.
# To change one, write another here and start the station again; that ends the sessions begun with it.
"""


class Role(StrEnum):
    """What somebody may do: a reader looks, an operator inspects and gives feedback too."""

    OPERATOR = "operator"
    READER = "reader"


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session of the page: what it may do, when it ends (Unix time in seconds), and its random number."""

    role: Role
    ends: int
    number: str


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The two secrets of a station; texts without white space."""

    operator: str
    reader: str

    def role_of(self, token: str) -> Role | None:
        """Whose token this is. The time it takes tells nothing of how much of it is right."""
        given = token.encode("utf-8", "replace")
        is_operator = hmac.compare_digest(given, self.operator.encode())
        is_reader = hmac.compare_digest(given, self.reader.encode())
        return Role.OPERATOR if is_operator else Role.READER if is_reader else None

    def session(self, role: Role) -> str:
        """A text for a cookie that stands for the role for ``SESSION_SECONDS``, and does not hold the token."""
        ends = str(int(time.time()) + SESSION_SECONDS)
        number = secrets.token_hex(16)
        return f"{role}.{ends}.{number}.{self._mark(role, ends, number)}"

    def parse_session(self, text: str) -> Session | None:
        """The session that a cookie's text stands for; None where it has ended or was not made here."""
        name, ends, number, mark = (text.split(".") + 4 * [""])[:4]
        if name not in set(Role) or not (ends.isascii() and ends.isdecimal() and len(ends) <= 12):
            return None
        right = self._mark(Role(name), ends, number)
        made_here = hmac.compare_digest(mark.encode("utf-8", "replace"), right.encode())
        if not made_here or int(ends) <= time.time():
            return None
        return Session(role=Role(name), ends=int(ends), number=number)

    def _mark(self, role: Role, ends: str, number: str) -> str:
        token = self.operator if role is Role.OPERATOR else self.reader
        message = f"clearcast session {role} {ends} {number}".encode("utf-8", "replace")
        return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()


def read_tokens(path: Path) -> Tokens:
    """Read a token file: lines ``operator: TOKEN`` and ``reader: TOKEN``, and comments that begin with ``#``.

    Raises:
        OutputError: it cannot be read, lacks one, or they are the same or so short that they can be guessed.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: the token file cannot be read ({error})") from None
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
            f"{path}: {weakness}; needed are two lines, 'operator: TOKEN' and 'reader: TOKEN', with two different "
            f"tokens of at least {SHORTEST} random characters, {_FEWEST} of them different; or remove the file, "
            "and one with new tokens is made"
        )
    return Tokens(operator=operator, reader=reader)


def _weakness(name: str, token: str) -> str:
    """Why a token could be guessed by somebody who tries many; "" if it could not."""
    if not token:
        return f"the token of the {name} is missing"
    if len(token) < SHORTEST:
        return f"the token of the {name} has {len(token)} characters"
    different = len(set(token))
    return f"the token of the {name} has only {different} different characters" if different < _FEWEST else ""


def make_tokens(path: Path) -> Tokens:
    """Write a token file with new random tokens that only its owner can read.

    Raises:
        OutputError: it is there already, or cannot be written.
    """
    tokens = Tokens(operator=secrets.token_urlsafe(32), reader=secrets.token_urlsafe(32))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(f"{_HEAD}operator: {tokens.operator}\nreader: {tokens.reader}\n")
    except OSError as error:
        raise OutputError(f"{path}: the token file cannot be made ({error})") from None
    return tokens


def others_can_read(path: Path) -> bool:
    """Whether others on this machine can read a file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
