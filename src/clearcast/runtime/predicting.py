"""Inspect a source to a results file, with pictures beside it on demand."""

import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from clearcast.data.sheet import Reading
from clearcast.domain import Inspection, Verdict
from clearcast.errors import OutputError
from clearcast.file_kinds import OtherFiles
from clearcast.progress import progress_bar
from clearcast.runtime.beside import Beside, PictureWriter
from clearcast.runtime.drift import Drift
from clearcast.runtime.engine import cores, inspect
from clearcast.runtime.fleet import inspect_on_ray
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.reference import REFERENCE, parse_reference
from clearcast.runtime.repeats import Repeats
from clearcast.runtime.signing import Trust
from clearcast.runtime.sinks import Inspected, open_sink, read_newest_results
from clearcast.runtime.sources import Item, Shard, count, items
from clearcast.runtime.verifying import load_model


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What is asked of ``predict``.

    Attributes:
        bundle: its folder or zip.
        source, recursive, shard, root, column, reading: see ``sources.items``.
        out: the results file; see ``sinks.open_sink``.
        resume: go on with what ``out`` holds, or begin where nothing is.
        beside: pictures that are written too.
        threads: how many pictures are worked on at a time; None: as many as there are cores.
        on_ray: inspect on the machines of a Ray cluster; see ``fleet.inspect_on_ray``.
        needed: refuse a bundle that never gives one of these verdicts.
        trust: whose signature the bundle must have; None: it needs none.
        console: shows progress.
    """

    bundle: Path
    source: str
    out: Path
    column: str
    root: Path | None = None
    reading: Reading = field(default_factory=Reading)
    recursive: bool = True
    shard: Shard | None = None
    resume: bool = False
    beside: Beside = field(default_factory=Beside)
    threads: int | None = None
    on_ray: bool = False
    needed: frozenset[Verdict] = frozenset()
    trust: Trust | None = None
    console: Console


@dataclass
class Summary:
    """What became of the pictures.

    Attributes:
        model: which bundle said so.
        pictures: how many were inspected by this call.
        before: how many the results held already.
        changed: how many of these were inspected again, since their files have changed since.
        seconds: from the first picture's beginning to the last row.
        verdicts, noise_types: how many pictures of each, in all results.
        errors: how many pictures could not be inspected, in all results.
        unwritten: how many pictures beside the results could not be written by this call.
        unwritten_reason: why the first of them could not.
        others: the files of other kinds that the source holds, and that were left out.
        repeats: how many pictures of this call were the same as the one before.
        drift: sentences on how the pictures of this call differ from those that the bundle learned from.
    """

    model: str
    before: int
    changed: int = 0
    pictures: int = 0
    seconds: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    noise_types: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    unwritten: int = 0
    unwritten_reason: str = ""
    others: OtherFiles = field(default_factory=OtherFiles)
    repeats: int = 0
    drift: list[str] = field(default_factory=list)

    def count(self, verdict: str | None, noise_type: str | None, error: str | None) -> None:
        """Count one row."""
        self.verdicts.update([str(verdict)] if verdict else [])
        self.noise_types.update([str(noise_type)] if noise_type else [])
        self.errors += bool(error)


def predict(request: PredictRequest) -> Summary:
    """Write one row a picture.

    An interruption, also by ``kill -9``, leaves rows that ``resume`` goes on with. A picture whose file has changed
    since its row was written is inspected again, and gets another row.

    Raises:
        OutputError: the bundle cannot be used or does not say what is asked for, or something would be overwritten.
        SourceError: there is no such source, or it holds no picture.
        SheetError: the source is a sheet that cannot be read.
    """
    if request.on_ray and request.beside.folders:
        raise OutputError("--engine ray gives rows, no pictures; leave out the folders for pictures, or use --shard")
    request.beside.require_room(Path(request.source), resume=request.resume)
    package = open_package(request.bundle, request.trust)
    inspector = Inspector(package, load_model(package))
    _require_answers(inspector, request)
    others = OtherFiles()
    found = _items(request, others)
    drift = drift_of(package)
    sink, done = open_sink(request.out, model=inspector.name, resume=request.resume)
    summary = Summary(inspector.name, before=len(done), others=others)
    writer = PictureWriter(request.beside) if request.beside.folders else None
    repeats = Repeats()
    with sink:
        if sink.warning:
            request.console.print(f"Beware: {sink.warning}", style="yellow", markup=False, soft_wrap=True)
        waiting = _waiting(found, done, summary)
        for inspection in _counted(_inspections(inspector, package, waiting, request, writer), summary, request):
            kept = inspection if request.on_ray else repeats.see(inspection)  # from Ray they come in any order
            sink.write(kept)
            if drift:
                drift.add(kept)
    for row in read_newest_results(request.out):
        summary.count(row["verdict"], row["noise_type"], row["error"])
    if writer:
        summary.unwritten, summary.unwritten_reason = writer.unwritten.count, writer.unwritten.reason
    summary.repeats = repeats.total
    summary.drift = drift.sentences() if drift else []
    return summary


def _waiting(found: Iterator[Item], done: Inspected, summary: Summary) -> Iterator[Item]:
    """The pictures that have no row, or one of what their files held before."""
    for item in found:
        if not done.covers(item):
            summary.changed += item.name in done
            yield item


def _inspections(
    inspector: Inspector,
    package: Package,
    found: Iterator[Item],
    request: PredictRequest,
    writer: PictureWriter | None,
) -> Generator[Inspection]:
    if request.on_ray:
        return inspect_on_ray(package, found, workers=request.threads)
    beside = request.beside
    return inspect(
        inspector,
        found,
        workers=request.threads or cores(),
        restored=beside.denoised is not None or (bool(beside.folders) and inspector.always_denoises),
        evidence=beside.heatmaps is not None,
        finish=writer,
    )


def _counted(inspections: Generator[Inspection], summary: Summary, request: PredictRequest) -> Iterator[Inspection]:
    """The same, while a bar and the summary keep count."""
    everything = max(0, _count(request) - summary.before)
    begun = time.perf_counter()
    with closing(inspections), progress_bar(request.console, "Inspecting", rate=True) as progress:
        for inspection in inspections:
            yield inspection
            summary.pictures += 1
            summary.seconds = time.perf_counter() - begun
            progress(summary.pictures, everything)


def drift_of(package: Package) -> Drift | None:
    """What compares pictures with those that the bundle learned from, if it says how those were."""
    if REFERENCE not in package.names():
        return None
    return Drift(parse_reference(package.read(REFERENCE), str(package.path)))


def _items(request: PredictRequest, others: OtherFiles) -> Iterator[Item]:
    return items(
        request.source,
        recursive=request.recursive,
        shard=request.shard,
        root=request.root,
        column=request.column,
        others=others,
        reading=request.reading,
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
        reading=request.reading,
    )
    return known or 0


def _require_answers(inspector: Inspector, request: PredictRequest) -> None:
    for verdict in sorted(request.needed - inspector.verdicts):
        if inspector.gives_verdicts:
            raise OutputError(
                f"{request.bundle}: never gives the verdict {verdict}; let it by 'clearcast tune', or leave out "
                f"--fail-on {verdict}"
            )
        reason = inspector.manifest["no_judge"] or "it has no judge"
        raise OutputError(f"{request.bundle}: gives no verdicts ({reason}); leave out --fail-on {verdict}")
    if request.beside.heatmaps and not inspector.has_evidence:
        raise OutputError(f"{request.bundle}: does not say where a defect is; leave out --heatmaps")
