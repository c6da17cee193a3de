r"""Escaping of control characters in terminal output and logs, against terminal escape injection by file names.

Every console of the program is a ``TerminalConsole``. It prints control characters, bidirectional overrides and bytes
that are not text as escapes such as ``\x1b``.
"""

import logging
import re
import traceback
import unicodedata
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_SPECIAL = re.compile(r"[^\x20-\x7e\n\t]")


def printable(text: str, *, lines: bool = True) -> str:
    r"""Replace characters that are not printable by escapes.

    Args:
        text: any text.
        lines: keep line breaks and tabs; False for a text of one line, such as a file name.

    >>> print(printable("a\x1b[31m\u202egpj.exe"), printable("a\nb", lines=False))
    a\x1b[31m\u202egpj.exe a\nb
    """
    escaped = _SPECIAL.sub(_escape, text)
    return escaped if lines else escaped.replace("\n", "\\n").replace("\t", "\\t")


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


class TerminalConsole(Console):
    """Rich console that applies ``printable`` to all output: tables, progress bars and messages of libraries too."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as Rich does, and keep the control sequences that Rich itself generates (cursor, colours)."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


class PrintableRecord(logging.LogRecord):
    """Log record that applies ``printable`` to its message and traceback."""

    def getMessage(self) -> str:  # noqa: N802 - logging's own name
        """Return the formatted message."""
        if self.exc_info and not self.exc_text:
            self.exc_text = printable("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))
        return printable(super().getMessage())
