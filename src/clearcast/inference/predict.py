"""Batch inspection: images of a source to a results file, with denoised images and heat maps on demand."""

import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from clearcast.bundle.archive import BundlePackage, open_package
from clearcast.bundle.signing import TrustedSigners
from clearcast.core.console import show_progress
from clearcast.core.errors import OutputError
from clearcast.core.files import OtherFileCounts
from clearcast.data.sheet import SheetReading
from clearcast.inference.drift import DriftDetector, make_drift_detector
from clearcast.inference.frozen_camera import RepeatDetector
from clearcast.inference.image_outputs import ImageOutputs, ImageOutputWriter
from clearcast.inference.inspector import Inspector, available_cores, inspect_images
from clearcast.inference.ray_engine import inspect_on_ray
from clearcast.inference.sinks import InspectedIndex, ResultsWriter, open_results_writer, read_newest_results
from clearcast.inference.sources import Shard, SourceItem, count_source, iterate_source
from clearcast.inference.verification import load_verified_model
from clearcast.types import Inspection, Verdict


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """Options of ``predict``.

    Attributes:
        bundle: its folder or zip.
        source, recursive, shard, root, column, reading: see ``sources.iterate_source``.
        out: the results file; see ``sinks.open_results_writer``.
        resume: continue an existing results file, or start a new one.
        outputs: folders of image outputs.
        threads: images processed in parallel; None: as many as there are cores.
        on_ray: inspect on the machines of a Ray cluster; see ``ray_engine.inspect_on_ray``.
        required_verdicts: verdicts that the bundle must be able to return.
        trust: trusted signers of the bundle; None: no signature is required.
        console: shows progress.
    """

    bundle: Path
    source: str
    out: Path
    column: str
    root: Path | None = None
    reading: SheetReading = field(default_factory=SheetReading)
    recursive: bool = True
    shard: Shard | None = None
    resume: bool = False
    outputs: ImageOutputs = field(default_factory=ImageOutputs)
    threads: int | None = None
    on_ray: bool = False
    required_verdicts: frozenset[Verdict] = frozenset()
    trust: TrustedSigners | None = None
    console: Console


@dataclass
class PredictSummary:
    """Summary of an inspection run.

    Attributes:
        model: name of the bundle.
        images: number of images inspected by this call.
        before: number of images with results before this call.
        changed: how many of these were inspected again because their files had changed.
        seconds: from the start of the first image to the last row.
        verdicts, noise_types: number of images of each, in all results.
        errors: number of images that could not be inspected, in all results.
        unwritten: number of image outputs that this call could not write.
        unwritten_reason: why the first of them could not be written.
        others: counts of files of other types in the source, which were left out.
        repeats: number of images of this call that equal the previous one.
        drift: sentences on how the images of this call differ from those that the bundle was measured on.
    """

    model: str
    before: int
    changed: int = 0
    images: int = 0
    seconds: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    noise_types: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    unwritten: int = 0
    unwritten_reason: str = ""
    others: OtherFileCounts = field(default_factory=OtherFileCounts)
    repeats: int = 0
    drift: list[str] = field(default_factory=list)

    def count(self, verdict: str | None, noise_type: str | None, error: str | None) -> None:
        """Count one row."""
        self.verdicts.update([str(verdict)] if verdict else [])
        self.noise_types.update([str(noise_type)] if noise_type else [])
        self.errors += bool(error)


def predict_source(request: PredictRequest) -> PredictSummary:
    """Inspect a source and write one row per image.

    After an interruption, also by ``kill -9``, ``resume`` continues. An image whose file has changed since its row was
    written is inspected again, and gets another row.

    Raises:
        OutputError: the bundle cannot be used or lacks a requested output, or something would be overwritten.
        SourceError: there is no such source, or it contains no image.
        SheetError: the source is a sheet that cannot be read.
    """
    if request.on_ray and request.outputs.folders:
        raise OutputError("--engine ray writes rows, no images; leave out the folders for images, or use --shard")
    request.outputs.require_free(Path(request.source), resume=request.resume)
    package = open_package(request.bundle, request.trust)
    inspector = Inspector(package, load_verified_model(package))
    _require_outputs(inspector, request)
    others = OtherFileCounts()
    items = _iterate_items(request, others)
    drift = make_drift_detector(package)
    results, inspected = open_results_writer(request.out, model=inspector.name, resume=request.resume)
    summary = PredictSummary(inspector.name, before=len(inspected), others=others)
    images = ImageOutputWriter(request.outputs) if request.outputs.folders else None
    with results:
        if results.warning:
            request.console.print(f"Warning: {results.warning}", style="yellow", markup=False, soft_wrap=True)
        pending = _pending_items(items, inspected, summary)
        inspections = _inspect_items(inspector, package, pending, request, images)
        with closing(_track_progress(inspections, summary, request)) as tracked:
            summary.repeats = _write_rows(tracked, results, drift, ordered=not request.on_ray)
    for row in read_newest_results(request.out):
        summary.count(row["verdict"], row["noise_type"], row["error"])
    if images:
        summary.unwritten, summary.unwritten_reason = images.failures.count, images.failures.reason
    summary.drift = drift.sentences() if drift else []
    return summary


def _write_rows(
    inspections: Iterator[Inspection], results: ResultsWriter, drift: DriftDetector | None, *, ordered: bool
) -> int:
    """Write the rows; returns how many images equal the previous one, which needs the order of the source."""
    repeats = RepeatDetector()
    for inspection in inspections:
        checked = repeats.check(inspection) if ordered else inspection
        results.write(checked)
        if drift:
            drift.add(checked)
    return repeats.total


def _pending_items(
    items: Iterator[SourceItem], inspected: InspectedIndex, summary: PredictSummary
) -> Iterator[SourceItem]:
    """Yield the images without a row for their current file."""
    for item in items:
        if not inspected.covers(item):
            summary.changed += item.name in inspected
            yield item


def _inspect_items(
    inspector: Inspector,
    package: BundlePackage,
    items: Iterator[SourceItem],
    request: PredictRequest,
    images: ImageOutputWriter | None,
) -> Generator[Inspection]:
    if request.on_ray:
        return inspect_on_ray(package, items, workers=request.threads)
    outputs = request.outputs
    return inspect_images(
        inspector,
        items,
        workers=request.threads or available_cores(),
        denoise=outputs.denoised is not None or (bool(outputs.folders) and inspector.always_denoises),
        evidence=outputs.heatmaps is not None,
        finish=images,
    )


def _track_progress(
    inspections: Generator[Inspection], summary: PredictSummary, request: PredictRequest
) -> Generator[Inspection]:
    """Yield the inspections, and update the progress bar and the summary."""
    total = max(0, _count_items(request) - summary.before)
    started = time.perf_counter()
    with closing(inspections), show_progress(request.console, "Inspecting", rate=True) as progress:
        for inspection in inspections:
            yield inspection
            summary.images += 1
            summary.seconds = time.perf_counter() - started
            progress(summary.images, total)


def _iterate_items(request: PredictRequest, others: OtherFileCounts) -> Iterator[SourceItem]:
    return iterate_source(
        request.source,
        recursive=request.recursive,
        shard=request.shard,
        root=request.root,
        column=request.column,
        others=others,
        reading=request.reading,
    )


def _count_items(request: PredictRequest) -> int:
    """Count the images for the progress bar; 0 if unknown, or without a terminal."""
    if not request.console.is_terminal:
        return 0
    count = count_source(
        request.source,
        recursive=request.recursive,
        shard=request.shard,
        root=request.root,
        column=request.column,
        reading=request.reading,
    )
    return count or 0


def _require_outputs(inspector: Inspector, request: PredictRequest) -> None:
    """Check that the bundle returns the requested verdicts and heat maps."""
    for verdict in sorted(request.required_verdicts - inspector.verdicts):
        if inspector.gives_verdicts:
            raise OutputError(
                f"{request.bundle}: never returns {verdict}; enable it with 'clearcast tune', or leave out "
                f"--fail-on {verdict}"
            )
        reason = inspector.manifest["no_judge"] or "it has no classifier"
        raise OutputError(f"{request.bundle}: gives no verdicts ({reason}); leave out --fail-on {verdict}")
    if request.outputs.heatmaps and not inspector.has_evidence:
        raise OutputError(f"{request.bundle}: cannot locate defects; leave out --heatmaps")
