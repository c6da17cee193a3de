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

from clearcast.cli.options import BundleArgument, ThreadsOption, TrustOption, read_trust_option
from clearcast.cli.output import LinePrinter
from clearcast.core.console import escape_unprintable
from clearcast.core.files import escape_name
from clearcast.metrics.evidence.scores import format_count
from clearcast.types import Inspection

if TYPE_CHECKING:
    from clearcast.inference.drift import DriftDetector


_DRIFT_INTERVAL = 100  # images between two checks for drift


def watch(
    bundle: BundleArgument,
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
    threads: ThreadsOption = None,
    trust: TrustOption = None,
) -> None:
    """Inspect images as they arrive in a folder, until Ctrl-C."""
    from clearcast import load
    from clearcast.bundle.archive import open_package
    from clearcast.inference.alerts import AlertDispatcher, make_hook_alert, make_webhook_alert
    from clearcast.inference.arrivals import ArrivalDetector, resolve_watched_folder, trusted_file_time
    from clearcast.inference.predict import make_drift_monitor
    from clearcast.inference.sinks import open_results_writer
    from clearcast.inference.watch import watch_folder as watch_folder

    wanted = [make_hook_alert(hook)] if hook else []
    wanted += [make_webhook_alert(webhook)] if webhook else []
    counts: Counter[str] = Counter()

    watched = resolve_watched_folder(folder)
    loaded = load(bundle, threads=threads, trust=trust or None)
    drift = make_drift_monitor(open_package(bundle, read_trust_option(trust)))
    trusted = trusted_file_time(out)
    stop = threading.Event()
    with _ended_by_signals(stop), LinePrinter() as printer:

        def report(inspection: Inspection) -> None:
            counts["error" if inspection.error else inspection.verdict or "no verdict"] += 1
            printer.say(_line(inspection))
            reporter.add(inspection)

        def show(sentence: str) -> None:
            printer.say(escape_unprintable(sentence, lines=False))

        sink, known = open_results_writer(out, model=loaded.name, resume=True, live=True)
        reporter = _DriftReporter(drift, show)
        with sink, AlertDispatcher(wanted, lambda failure: show(f"Alert failed: {failure}")) as alarms:
            if sink.warning:
                show(f"Beware: {sink.warning}")
            show(f"Watching {folder}; inspected before: {format_count(len(known), 'image')}")
            arrivals = ArrivalDetector(watched, known, trusted=trusted, tell=show)
            repeats = watch_folder(loaded, arrivals, sink, alarms, stop=stop, once=once, on_inspection=report)
        reporter.report()
        if repeats:
            show(f"{format_count(repeats, 'image')} identical to the previous one; is the camera frozen?")
        show(f"Results: {out} ({', '.join(f'{count} {name}' for name, count in counts.items()) or 'nothing new'})")


class _DriftReporter:
    """Reports drift when it begins, changes or ends; ``drift`` is None for a bundle without a drift reference."""

    def __init__(self, drift: "DriftDetector | None", show: Callable[[str], None]) -> None:
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
        return escape_unprintable(inspection.error, lines=False)
    chance = "" if inspection.p_defect is None else f", defect with probability {inspection.p_defect:.3f}"
    name = escape_unprintable(escape_name(inspection.path), lines=False)
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
