"""Command ``watch``; it never needs torch."""

import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import BundlePath, Threads, TrustedKeys, trust_of
from clearcast.cli.speaking import LinePrinter
from clearcast.domain import Inspection
from clearcast.evaluation.evidence.words import counted
from clearcast.filenames import escape_name
from clearcast.terminal import printable

if TYPE_CHECKING:
    from clearcast.runtime.drift import Drift

_DRIFT_INTERVAL = 100  # images between two checks for drift


def watch(
    bundle: BundlePath,
    folder: Annotated[Path, typer.Argument(help="The folder in which images arrive.", metavar="FOLDER")],
    out: Annotated[
        Path,
        typer.Option(help="The results, .csv or .jsonl; after a restart, images that they list are not repeated."),
    ],
    hook: Annotated[
        str | None,
        typer.Option(
            help="Run this command on a defect, retake or error, with the image's path and its verdict added."
        ),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="Post the row of each defect, retake or error as JSON to this URL.")
    ] = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Inspect the images that are there, wait half a minute for unfinished ones, and exit."
        ),
    ] = False,
    threads: Threads = None,
    trust: TrustedKeys = None,
) -> None:
    """Inspect images as they arrive in a folder, until Ctrl-C."""
    from clearcast import load
    from clearcast.runtime.alarms import Alarms, hook_alarm, webhook_alarm
    from clearcast.runtime.arrivals import Arrivals, trusted_until, watched_folder
    from clearcast.runtime.package import open_package
    from clearcast.runtime.predicting import drift_of
    from clearcast.runtime.sinks import open_sink
    from clearcast.runtime.watching import watch as watch_folder

    wanted = [hook_alarm(hook)] if hook else []
    wanted += [webhook_alarm(webhook)] if webhook else []
    counts: Counter[str] = Counter()

    watched = watched_folder(folder)
    loaded = load(bundle, threads=threads, trust=trust or None)
    drift = drift_of(open_package(bundle, trust_of(trust)))
    trusted = trusted_until(out)
    stop = threading.Event()
    with _ended_by_signals(stop), LinePrinter() as printer:

        def report(inspection: Inspection) -> None:
            counts["error" if inspection.error else inspection.verdict or "no verdict"] += 1
            printer.say(_line(inspection))
            reporter.add(inspection)

        def show(sentence: str) -> None:
            printer.say(printable(sentence, lines=False))

        sink, known = open_sink(out, model=loaded.name, resume=True, live=True)
        reporter = _DriftReporter(drift, show)
        with sink, Alarms(wanted, lambda failure: show(f"Alert failed: {failure}")) as alarms:
            if sink.warning:
                show(f"Beware: {sink.warning}")
            show(f"Watching {folder}; inspected before: {counted(len(known), 'image')}")
            arrivals = Arrivals(watched, known, trusted=trusted, tell=show)
            repeats = watch_folder(loaded, arrivals, sink, alarms, stop=stop, once=once, on_inspection=report)
        reporter.report()
        if repeats:
            show(f"{counted(repeats, 'image')} identical to the previous one; is the camera frozen?")
        show(f"Results: {out} ({', '.join(f'{count} {name}' for name, count in counts.items()) or 'nothing new'})")


class _DriftReporter:
    """Reports drift when it begins, changes or ends; ``drift`` is None for a bundle without a drift reference."""

    def __init__(self, drift: "Drift | None", show: Callable[[str], None]) -> None:
        self._drift = drift
        self._show = show
        self._count = 0
        self._reported: list[str] = []  # the measures that drift, without values, which change with every image

    def add(self, inspection: Inspection) -> None:
        """Add one image; check for drift at intervals."""
        if self._drift:
            self._drift.add(inspection)
            self._count += 1
            if self._count % _DRIFT_INTERVAL == 0:
                self.report()

    def report(self) -> None:
        """Report the drift if it is not the one reported last."""
        sentences = self._drift.sentences() if self._drift else []
        measures = [sentence.partition(":")[0] for sentence in sentences]
        if measures != self._reported:
            self._reported = measures
            for sentence in sentences:
                self._show(f"Beware: {sentence}")
            if not sentences:
                self._show("No more drift: the images are again like those that the bundle was measured on.")


def _line(inspection: Inspection) -> str:
    if inspection.error:
        return printable(inspection.error, lines=False)
    chance = "" if inspection.p_defect is None else f", defect with probability {inspection.p_defect:.3f}"
    name = printable(escape_name(inspection.path), lines=False)
    return f"{name}: {inspection.verdict or 'no verdict'}{chance}, noise {inspection.noise_type}"


@contextmanager
def _ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` on SIGINT or SIGTERM; a second one ends the program at once.

    SIGHUP (the terminal is closed) is ignored, since images keep arriving.
    """

    def end(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    if sys.platform != "win32":
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: None)  # not SIG_IGN: hooks would inherit it
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
