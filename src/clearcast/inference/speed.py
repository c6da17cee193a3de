"""Speed benchmark of a bundle: images per second, time of each stage, and the time of only decoding."""

import hashlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rich.console import Console

from clearcast.bundle.archive import BundlePackage, open_package
from clearcast.bundle.signing import TrustedSigners
from clearcast.core import imaging
from clearcast.core.console import show_progress
from clearcast.core.errors import PictureError
from clearcast.data.sheet import SheetColumns, SheetReading
from clearcast.inference.image_outputs import ImageOutputs, ImageOutputWriter
from clearcast.inference.image_statistics import measure_brightness, measure_sharpness
from clearcast.inference.inspector import Inspector, available_cores, inspect_images
from clearcast.inference.model import MIN_IMAGE_SIDE, OnnxModel
from clearcast.inference.sinks import open_results_writer
from clearcast.inference.sources import Source, SourceError, SourceItem, iterate_source
from clearcast.inference.verification import load_verified_model

_BLOCKS = 5  # decoding and inspecting alternate, so that other load affects both
_PROFILED = 100  # images whose stages are timed

_Seconds = dict[str, float]
"""Seconds by stage."""


@dataclass(frozen=True, kw_only=True)
class SpeedRequest:
    """Arguments of ``measure_speed``.

    Attributes:
        bundle: its folder or zip.
        source, root, column, reading: see ``sources.iterate_source``.
        limit: largest number of images.
        threads: how many images are processed at a time; None: as many as there are cores.
        suffix: format of denoised images to write, such as ``.jpg``; None: none are written.
        trust: public keys, one of which must have signed the bundle; None: no signature is required.
        console: shows progress.
    """

    bundle: Path
    source: Source
    root: Path | None = None
    column: str = SheetColumns.noisy
    reading: SheetReading = field(default_factory=SheetReading)
    limit: int = 500
    threads: int | None = None
    suffix: str | None = None
    trust: TrustedSigners | None = None
    console: Console


@dataclass(frozen=True, kw_only=True)
class SpeedResult:
    """Result of the speed benchmark.

    Attributes:
        model: name of the bundle.
        images: how many images were inspected.
        errors: how many of them had an error.
        threads: how many were processed at a time.
        loading: seconds until the bundle was ready.
        inspecting: seconds for all images, from reading a file to its row.
        decoding: seconds to only read and decode the same files with as many threads.
        stages: seconds of an image in each stage, by name, while as many threads were working.
        peak: peak memory of the process in bytes, before the stages were timed; None if the system does not report it.
    """

    model: str
    images: int
    errors: int
    threads: int
    loading: float
    inspecting: float
    decoding: float
    stages: dict[str, float]
    peak: int | None


def measure_speed(request: SpeedRequest) -> SpeedResult:
    """Inspect images to a temporary file, alternating with only decoding them.

    Raises:
        OutputError: the bundle cannot be used.
        SourceError: the source does not exist, or has no files.
        SheetError: the source is a sheet that cannot be read.
    """
    started = time.perf_counter()
    package = open_package(request.bundle, request.trust)
    inspector = Inspector(package, load_verified_model(package))
    loading = time.perf_counter() - started
    threads = request.threads or available_cores()
    listed = iterate_source(request.source, root=request.root, column=request.column, reading=request.reading)
    items = list(islice(listed, request.limit))
    _require_files(items)
    with tempfile.TemporaryDirectory() as folder:
        seconds, errors = _measure_in_turns(items, inspector, threads, Path(folder), request)
        peak = measure_peak_memory()
        stages = _measure_stages(items[:_PROFILED], package, threads, Path(folder), request.suffix)
    return SpeedResult(
        model=inspector.name,
        images=len(items),
        errors=errors,
        threads=threads,
        loading=loading,
        inspecting=seconds["inspecting"],
        decoding=seconds["decoding"],
        stages=stages | {"row": seconds["row"] / len(items)},
        peak=peak,
    )


def _measure_in_turns(
    items: Sequence[SourceItem], inspector: Inspector, threads: int, folder: Path, request: SpeedRequest
) -> tuple[_Seconds, int]:
    """Return the seconds of decoding and of inspecting all images, and how many had an error."""
    seconds: _Seconds = {}
    errors, done, warm_up = 0, 0, items[: 4 * threads]
    with show_progress(request.console, "Measuring", rate=True) as progress:
        _decode_all(warm_up, inspector, threads)
        _inspect_all(warm_up, inspector, threads, folder / "warm-up", request.suffix, {})
        for first in range(min(_BLOCKS, len(items))):
            block = items[first::_BLOCKS]
            with _clock(seconds, "decoding"):
                _decode_all(block, inspector, threads)
            with _clock(seconds, "inspecting"):
                errors += _inspect_all(block, inspector, threads, folder / str(first), request.suffix, seconds)
            done += len(block)
            progress(done, len(items))
    return seconds, errors


def measure_peak_memory() -> int | None:
    """Return the peak memory of this process in bytes; None if the system does not report it."""
    if sys.platform == "win32":
        return None
    status = Path("/proc/self/status")
    if status.exists():  # ``getrusage`` may report that of the parent process there
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _require_files(items: Sequence[SourceItem]) -> None:
    for item in items[:1]:
        try:
            data = item.read()
        except PictureError:
            continue
        if not isinstance(data, bytes):
            raise SourceError(f"{item.name}: expected image files, which are decoded, got another source")


def _decode_all(block: Sequence[SourceItem], inspector: Inspector, threads: int) -> None:
    def decode(item: SourceItem) -> None:
        try:
            data = item.read()
            assert isinstance(data, bytes)
            imaging.decode_image(data, inspector.channels, item.name)
        except PictureError:
            pass

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, block))


def _inspect_all(
    block: Sequence[SourceItem], inspector: Inspector, threads: int, folder: Path, suffix: str | None, seconds: _Seconds
) -> int:
    """Inspect as ``clearcast predict`` does; the time of writing rows is added to ``seconds``.

    Returns:
        How many images had an error.
    """
    writer = ImageOutputWriter(ImageOutputs(denoised=folder / "denoised", suffix=suffix)) if suffix else None
    results, _ = open_results_writer(folder / "results.csv", model=inspector.name, resume=False)
    errors = 0
    with (
        results,
        closing(inspect_images(inspector, block, workers=threads, denoise=bool(writer), finish=writer)) as inspections,
    ):
        for inspection in inspections:
            with _clock(seconds, "row"):
                results.write(inspection)
            errors += bool(inspection.error)
    return errors


def _measure_stages(
    block: Sequence[SourceItem], package: BundlePackage, threads: int, folder: Path, suffix: str | None
) -> _Seconds:
    """Return the seconds of an image in each stage of an inspection, one stage after the other in each thread."""
    model = OnnxModel(package)
    with ThreadPoolExecutor(threads) as pool:
        each = list(filter(None, pool.map(lambda item: _time_stages(item, model, folder, suffix), block)))
    return {name: sum(seconds[name] for seconds in each) / len(each) for name in (each[0] if each else ())}


def _time_stages(item: SourceItem, model: OnnxModel, folder: Path, suffix: str | None) -> _Seconds:
    """Return the seconds of each stage; empty if the image cannot be inspected."""
    seconds: _Seconds = {}
    try:
        with _clock(seconds, "read"):
            data = item.read()
        assert isinstance(data, bytes)
        with _clock(seconds, "hash"):
            name = hashlib.sha256(data).hexdigest()
        with _clock(seconds, "decode"):
            image = imaging.decode_image(data, model.channels, item.name)
    except PictureError:
        return {}
    if min(image.shape[:2]) < MIN_IMAGE_SIDE:
        return {}
    with _clock(seconds, "infer"):
        denoised = model.predict(image, denoise=bool(suffix)).denoised
    with _clock(seconds, "statistics"):
        measure_brightness(image)
        if denoised is not None and model.always_denoises:
            measure_sharpness(denoised)
    if suffix and denoised is not None:
        with _clock(seconds, "write"):
            imaging.save_image(folder / "stages" / f"{name}{suffix}", denoised)
    return seconds


@contextmanager
def _clock(seconds: _Seconds, name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
