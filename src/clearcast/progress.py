"""Show how far long work has come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is in all; 0 where that is not known."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> str:
        return f"{task.speed:.1f} a second" if task.speed else ""


@contextmanager
def progress_bar(console: Console, title: str, *, rate: bool = False) -> Iterator[Progress]:
    """Show a bar while the work in this context calls what it is given; without a terminal, one line at the start.

    With ``rate`` it also says how much is done a second.
    """
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    columns += [_Rate()] if rate else []
    if not console.is_terminal:
        console.print(f"{title} ...", highlight=False)
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, everything: bar.update(task, completed=done, total=everything or None)
