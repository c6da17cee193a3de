"""Command ``watch``; it never needs torch."""

import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import BundleArgument, ThreadsOption, TrustOption, read_trust_option
from clearcast.cli.output import LinePrinter
from clearcast.core.console import escape_unprintable
from clearcast.core.files import escape_name
from clearcast.core.numbers import format_count
from clearcast.types import Inspection

if TYPE_CHECKING:
    from clearcast.inference.alerts import AlertFunction
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
        typer.Option("--once", help="Inspect the existing images, wait half a minute for unfinished ones, and exit."),
    ] = False,
    threads: ThreadsOption = None,
    trust: TrustOption = None,
) -> None:
    """Inspect images as they arrive in a folder, until Ctrl-C."""
    from clearcast import load
    from clearcast.bundle.archive import open_package
    from clearcast.inference.alerts import AlertDispatcher, HookAlert, WebhookAlert
    from clearcast.inference.arrivals import ArrivalDetector, resolve_watched_folder, trusted_file_time
    from clearcast.inference.drift import make_drift_detector
    from clearcast.inference.sinks import open_results_writer
    from clearcast.inference.watch import watch_folder as watch_folder

    targets: list[AlertFunction] = [HookAlert(hook)] if hook else []
    targets += [WebhookAlert(webhook)] if webhook else []
    watched = resolve_watched_folder(folder)
    loaded = load(bundle, threads=threads, trust=trust or None)
    drift = make_drift_detector(open_package(bundle, read_trust_option(trust)))
    trusted = trusted_file_time(out)
    stop = threading.Event()
    with _stopped_by_signals(stop), LinePrinter() as printer:
        reporter = _WatchReporter(printer, drift)
        writer, inspected = open_results_writer(out, model=loaded.name, resume=True, live=True)
        with writer, AlertDispatcher(targets, lambda failure: reporter.show(f"Alert failed: {failure}")) as alerts:
            if writer.warning:
                reporter.show(f"Warning: {writer.warning}")
            reporter.show(f"Watching {folder}; inspected before: {format_count(len(inspected), 'image')}")
            arrivals = ArrivalDetector(watched, inspected, trusted=trusted, report=reporter.show)
            repeats = watch_folder(loaded, arrivals, writer, alerts, stop=stop, once=once, on_inspection=reporter.add)
        reporter.finish(out, repeats)


class _WatchReporter:
    """Reporter of the watch: one line per inspection, drift when it begins, changes or ends, and a summary.

    Args:
        printer: prints lines without blocking.
        drift: the bundle's drift detector; None for a bundle without a drift reference.
    """

    def __init__(self, printer: LinePrinter, drift: "DriftDetector | None") -> None:
        self._printer = printer
        self._drift = drift
        self._counts: Counter[str] = Counter()
        self._drifting: list[str] = []  # the metrics that drift, without values, which change with every image

    def show(self, sentence: str) -> None:
        """Print a sentence as one line."""
        self._printer.say(escape_unprintable(sentence, lines=False))

    def add(self, inspection: Inspection) -> None:
        """Print one inspection and count it; check for drift at intervals."""
        self._counts["error" if inspection.error else inspection.verdict or "no verdict"] += 1
        self._printer.say(_format_inspection(inspection))
        if self._drift:
            self._drift.add(inspection)
            if self._counts.total() % _DRIFT_INTERVAL == 0:
                self._report_drift()

    def finish(self, out: Path, repeats: int) -> None:
        """Print the summary.

        Args:
            out: the results file.
            repeats: images that equal the previous one.
        """
        self._report_drift()
        if repeats:
            self.show(f"{format_count(repeats, 'image')} identical to the previous one; is the camera frozen?")
        counts = ", ".join(f"{count} {name}" for name, count in self._counts.items())
        self.show(f"Results: {out} ({counts or 'nothing new'})")

    def _report_drift(self) -> None:
        """Report the drift if it is not the one reported last."""
        sentences = self._drift.sentences() if self._drift else []
        drifting = [sentence.partition(":")[0] for sentence in sentences]
        if drifting != self._drifting:
            self._drifting = drifting
            for sentence in sentences:
                self.show(f"Warning: {sentence}")
            if not sentences:
                self.show("No more drift: the images are again like those that the bundle was measured on.")


def _format_inspection(inspection: Inspection) -> str:
    if inspection.error:
        return escape_unprintable(inspection.error, lines=False)
    probability = "" if inspection.p_defect is None else f", defect with probability {inspection.p_defect:.3f}"
    name = escape_unprintable(escape_name(inspection.path), lines=False)
    return f"{name}: {inspection.verdict or 'no verdict'}{probability}, noise {inspection.noise_type}"


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` on SIGINT or SIGTERM; a second one ends the program at once.

    SIGHUP (the terminal is closed) is ignored, since images keep arriving.
    """

    def stop_once(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, stop_once) for number in (signal.SIGINT, signal.SIGTERM)}
    if sys.platform != "win32":
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: None)  # not SIG_IGN: hooks would inherit it
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
