r"""Terminal output and log records: escaping of control characters, and progress bars.

File names can contain terminal escape sequences (terminal escape injection).

Every console of the program is a ``TerminalConsole``. It prints control characters, bidirectional overrides and bytes
that are not text as escapes such as ``\x1b``.
"""

import logging
import re
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

ProgressCallback = Callable[[int, int], None]
"""Progress callback: called with (done, total); total is 0 if unknown."""

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\n\t]")  # candidates: some of them are printable, such as letters


def escape_unprintable(text: str, *, lines: bool = True) -> str:
    r"""Replace characters that are not printable by escapes.

    Args:
        text: any text.
        lines: keep line breaks and tabs; False for a text of one line, such as a file name.

    >>> print(escape_unprintable("a\x1b[31m\u202egpj.exe"), escape_unprintable("a\nb", lines=False))
    a\x1b[31m\u202egpj.exe a\nb
    """
    escaped = _UNPRINTABLE.sub(_escape, text)
    return escaped if lines else escaped.replace("\n", "\\n").replace("\t", "\\t")


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


class TerminalConsole(Console):
    """Rich console that applies ``escape_unprintable`` to all output, also of libraries."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as Rich does, and keep the control sequences that Rich itself generates (cursor, colours)."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escape_unprintable(segment.text), segment.style)


class EscapedLogRecord(logging.LogRecord):
    """Log record that applies ``escape_unprintable`` to its message and traceback."""

    def getMessage(self) -> str:  # noqa: N802 - logging's own name
        """Return the formatted message."""
        if self.exc_info and not self.exc_text:
            self.exc_text = escape_unprintable("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))
        return escape_unprintable(super().getMessage())


class _Rate(ProgressColumn):
    def render(self, task: Task) -> str:
        return f"{task.speed:.1f} per second" if task.speed else ""


@contextmanager
def show_progress(console: Console, title: str, *, rate: bool = False) -> Iterator[ProgressCallback]:
    """Show a progress bar that the yielded callback updates; if the output is no terminal, print one line at the start.

    ``rate`` adds the number of items per second.
    """
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    columns += [_Rate()] if rate else []
    if not console.is_terminal:
        console.print(f"{title} ...", highlight=False)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)
