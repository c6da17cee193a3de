"""Progress bars for long-running work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

Progress = Callable[[int, int], None]
"""Progress callback: called with (done, total); total is 0 if unknown."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> str:
        return f"{task.speed:.1f} per second" if task.speed else ""


@contextmanager
def progress_bar(console: Console, title: str, *, rate: bool = False) -> Iterator[Progress]:
    """Show a progress bar that the yielded callback updates; if the output is no terminal, print one line at the start.

    ``rate`` adds the number of items per second.
    """
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    columns += [_Rate()] if rate else []
    if not console.is_terminal:
        console.print(f"{title} ...", highlight=False)
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
