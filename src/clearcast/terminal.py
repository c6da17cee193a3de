r"""Text for a terminal: a file name must not move the cursor, change colours or turn the direction of writing.

Every console of the program is a ``TerminalConsole``. It shows what a terminal would obey (control characters,
overrides of the writing direction, bytes that are no text) as escapes such as ``\x1b``, whichever way it came into the
output.
"""

import logging
import re
import traceback
import unicodedata
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_SUSPECT = re.compile(r"[^\x20-\x7e\n\t]")


def printable(text: str, *, lines: bool = True) -> str:
    r"""The text with each character that is not to be seen as an escape.

    Args:
        text: anything.
        lines: whether line breaks and tabs may stay. A text of one line, such as a file name, has none.

    >>> print(printable("a\x1b[31m\u202egpj.exe"), printable("a\nb", lines=False))
    a\x1b[31m\u202egpj.exe a\nb
    """
    shown = _SUSPECT.sub(_visible, text)
    return shown if lines else shown.replace("\n", "\\n").replace("\t", "\\t")


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


class TerminalConsole(Console):
    """A console of Rich whose every text passes through ``printable``: also tables, bars and messages of libraries."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as Rich does; control sequences that Rich itself makes (to move a bar, for colours) are kept."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


class PrintableRecord(logging.LogRecord):
    """A line of a log, with its traceback, whose every text passes through ``printable``."""

    def getMessage(self) -> str:  # noqa: N802 - logging's own name
        """The message with its values."""
        if self.exc_info and not self.exc_text:
            self.exc_text = printable("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))
        return printable(super().getMessage())
