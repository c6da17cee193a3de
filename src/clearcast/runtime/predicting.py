"""Inspect a source to a results file, with pictures beside it on demand."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from clearcast.domain import Inspection, NoiseType, Verdict
from clearcast.errors import OutputError
from clearcast.progress import progress_bar
from clearcast.runtime.beside import Beside, PictureWriter
from clearcast.runtime.engine import cores, inspect
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.package import open_package
from clearcast.runtime.sinks import Sink, open_sink
from clearcast.runtime.sources import Item, Shard, count, items


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What is asked of ``predict``.

    Attributes:
        bundle: its folder or zip.
        source, recursive, shard, root, column: see ``sources.items``.
        out: the results file; see ``sinks.open_sink``.
        resume: go on with what ``out`` holds, or begin where nothing is.
        beside: pictures that are written too.
        threads: how many pictures are worked on at a time; None: as many as there are cores.
        needs_verdicts: refuse a bundle that gives none.
        console: shows progress.
    """

    bundle: Path
    source: str
    out: Path
    column: str
    root: Path | None = None
    recursive: bool = True
    shard: Shard | None = None
    resume: bool = False
    beside: Beside = field(default_factory=Beside)
    threads: int | None = None
    needs_verdicts: bool = False
    console: Console


@dataclass
class Tally:
    """What became of the pictures of one call.

    Attributes:
        model: which bundle said so.
        verdicts, noise_types: how many pictures of each.
        errors: how many pictures could not be inspected.
        pictures: how many there were in all, of this call.
        before: how many the results held already.
        seconds: from the first picture's beginning to the last row.
    """

    model: str
    before: int = 0
    pictures: int = 0
    errors: int = 0
    seconds: float = 0.0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    noise_types: Counter[NoiseType] = field(default_factory=Counter)

    def add(self, inspection: Inspection) -> None:
        """Count one picture."""
        self.pictures += 1
        self.errors += bool(inspection.error)
        if inspection.verdict:
            self.verdicts[inspection.verdict] += 1
        if inspection.noise_type:
            self.noise_types[inspection.noise_type] += 1


def predict(request: PredictRequest) -> Tally:
    """Write one row a picture.

    An interruption, also by ``kill -9``, leaves rows that ``resume`` goes on with.

    Raises:
        OutputError: the bundle cannot be used or does not say what is asked for, or something would be overwritten.
        SourceError: there is no such source, or it holds no picture.
        SheetError: the source is a sheet that cannot be read.
    """
    request.beside.require_room(Path(request.source), resume=request.resume)
    inspector = Inspector(open_package(request.bundle))
    _require_answers(inspector, request)
    found = _items(request)
    sink, done = open_sink(request.out, model=inspector.name, resume=request.resume)
    tally = Tally(inspector.name, before=len(done))
    with sink:
        _write_rows(inspector, (item for item in found if item.name not in done), sink, tally, request)
    return tally


def _write_rows(inspector: Inspector, found: Iterator[Item], sink: Sink, tally: Tally, request: PredictRequest) -> None:
    pictures = PictureWriter(request.beside)
    everything = max(0, _count(request) - tally.before)
    begun = time.perf_counter()
    inspections = inspect(
        inspector,
        found,
        workers=request.threads or cores(),
        restored=bool(request.beside.folders),
        evidence=bool(request.beside.heatmaps),
        finish=pictures if request.beside.folders else None,
    )
    with closing(inspections), progress_bar(request.console, "Inspecting", rate=True) as progress:
        for inspection in inspections:
            sink.write(inspection)
            tally.add(inspection)
            tally.seconds = time.perf_counter() - begun
            progress(tally.pictures, everything)


def _items(request: PredictRequest) -> Iterator[Item]:
    return items(
        request.source,
        recursive=request.recursive,
        shard=request.shard,
        root=request.root,
        column=request.column,
    )


def _count(request: PredictRequest) -> int:
    """For the bar alone, which needs a terminal; 0 where nobody knows."""
    if not request.console.is_terminal:
        return 0
    known = count(
        request.source,
        recursive=request.recursive,
        shard=request.shard,
        root=request.root,
        column=request.column,
    )
    return known or 0


def _require_answers(inspector: Inspector, request: PredictRequest) -> None:
    if request.needs_verdicts and not inspector.judges:
        reason = inspector.manifest["no_judge"] or "it has no judge"
        raise OutputError(f"{request.bundle}: gives no verdicts ({reason}); leave out --fail-on defect")
    if request.beside.heatmaps and not inspector.has_evidence:
        raise OutputError(f"{request.bundle}: does not say where a defect is; leave out --heatmaps")
