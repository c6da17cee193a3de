"""The command that inspects pictures as they arrive. It never needs torch."""

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

from clearcast.cli.options import TrustedKeys, trust_of
from clearcast.cli.speaking import LinePrinter
from clearcast.domain import Inspection
from clearcast.evaluation.evidence.words import counted
from clearcast.filenames import escape_name
from clearcast.terminal import printable

if TYPE_CHECKING:
    from clearcast.runtime.drift import Drift

_DRIFT_INTERVAL = 100  # pictures between two looks at what drifts


def watch(
    bundle: Annotated[Path, typer.Argument(help="A bundle: its folder, or its zip.", metavar="BUNDLE")],
    folder: Annotated[Path, typer.Argument(help="The folder in which pictures arrive.", metavar="FOLDER")],
    out: Annotated[
        Path,
        typer.Option(help="The results, .csv or .jsonl; they grow, and say after a restart what was inspected before."),
    ],
    hook: Annotated[
        str | None,
        typer.Option(
            help="Run this on a defect, retake or error, with the picture's path and its verdict as last arguments."
        ),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="Post the row of each defect, retake and error as JSON to this address.")
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Inspect what is there, wait half a minute for what is half written, and end."),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(help="So many pictures at a time, each on a core.", min=1, show_default="one a core"),
    ] = None,
    trust: TrustedKeys = None,
) -> None:
    """Inspect pictures as they arrive in a folder, until Ctrl-C."""
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

        def seen(inspection: Inspection) -> None:
            counts["error" if inspection.error else inspection.verdict or "no verdict"] += 1
            printer.say(_line(inspection))
            drifting.see(inspection)

        def tell(sentence: str) -> None:
            printer.say(printable(sentence, lines=False))

        sink, known = open_sink(out, model=loaded.name, resume=True, live=True)
        drifting = _DriftTeller(drift, tell)
        with sink, Alarms(wanted, lambda failure: tell(f"Alarm failed: {failure}")) as alarms:
            if sink.warning:
                tell(f"Beware: {sink.warning}")
            tell(f"Watching {folder}; inspected before: {counted(len(known), 'picture')}")
            arrivals = Arrivals(watched, known, trusted=trusted, tell=tell)
            repeats = watch_folder(loaded, arrivals, sink, alarms, stop=stop, once=once, seen=seen)
        drifting.tell()
        if repeats:
            tell(f"{counted(repeats, 'picture')} the same as the one before; is the camera frozen?")
        tell(f"Results: {out} ({', '.join(f'{count} {name}' for name, count in counts.items()) or 'nothing new'})")


class _DriftTeller:
    """Says what drifts, as soon as it is seen and whenever it changes; ``drift`` is None where nothing is known."""

    def __init__(self, drift: "Drift | None", tell: Callable[[str], None]) -> None:
        self._drift = drift
        self._tell = tell
        self._seen = 0
        self._told: list[str] = []  # what drifts, without the figures, which change with every picture

    def see(self, inspection: Inspection) -> None:
        """Take up one picture; now and then look what drifts."""
        if self._drift:
            self._drift.add(inspection)
            self._seen += 1
            if self._seen % _DRIFT_INTERVAL == 0:
                self.tell()

    def tell(self) -> None:
        """Say what drifts, unless that was said last."""
        sentences = self._drift.sentences() if self._drift else []
        subjects = [sentence.partition(":")[0] for sentence in sentences]
        if subjects != self._told:
            self._told = subjects
            for sentence in sentences:
                self._tell(f"Beware: {sentence}")
            if not sentences:
                self._tell("No drift any more: the pictures are again like those that the model was measured on.")


def _line(inspection: Inspection) -> str:
    if inspection.error:
        return printable(inspection.error, lines=False)
    sure = "" if inspection.p_defect is None else f", defect with probability {inspection.p_defect:.3f}"
    name = printable(escape_name(inspection.path), lines=False)
    return f"{name}: {inspection.verdict or 'no verdict'}{sure}, noise {inspection.noise_type}"


@contextmanager
def _ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C, or the system's wish that the program end, sets ``stop``; a second one ends it at once.

    That the terminal is gone (SIGHUP) ends nothing: the belt still runs.
    """

    def end(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    if sys.platform != "win32":
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: None)  # not SIG_IGN, which hooks would inherit
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
