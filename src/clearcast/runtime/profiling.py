"""How fast a bundle inspects on this machine, where the time goes, and how far that is from only decoding."""

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

from clearcast import imaging
from clearcast.data.sheet import Columns, Reading
from clearcast.errors import PictureError
from clearcast.progress import progress_bar
from clearcast.runtime.beside import Beside, PictureWriter
from clearcast.runtime.engine import cores, inspect
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.looks import brightness, sharpness
from clearcast.runtime.model import SMALLEST, Model
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.signing import Trust
from clearcast.runtime.sinks import open_sink
from clearcast.runtime.sources import Item, Source, SourceError, items
from clearcast.runtime.verifying import load_model

_BLOCKS = 5  # decoding alone and inspecting take turns, so that both meet the same hindrances
_LOOKED_INTO = 100  # pictures whose stages are timed

Spent = dict[str, float]
"""Seconds by what they were spent on."""


@dataclass(frozen=True, kw_only=True)
class SpeedRequest:
    """What is asked of ``measure_speed``.

    Attributes:
        bundle: its folder or zip.
        source, root, column, reading: see ``sources.items``.
        limit: pictures at most.
        threads: how many pictures are worked on at a time; None: as many as there are cores.
        suffix: write restored pictures in this format too, such as ``.jpg``; None: write none.
        trust: whose signature the bundle must have; None: it needs none.
        console: shows progress.
    """

    bundle: Path
    source: Source
    root: Path | None = None
    column: str = Columns.noisy
    reading: Reading = field(default_factory=Reading)
    limit: int = 500
    threads: int | None = None
    suffix: str | None = None
    trust: Trust | None = None
    console: Console


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured.

    Attributes:
        model: which bundle.
        pictures: how many were inspected.
        errors: how many of them could not be.
        threads: how many at a time.
        loading: seconds until the bundle was ready.
        inspecting: seconds for all, from reading a file to its row.
        decoding: seconds for the same files, only read and decoded with the same threads.
        stages: seconds of a picture in each stage, by its name, while as many threads were at work.
        peak: bytes of memory that the process held at most, before the stages were timed; None where the system does
            not tell.
    """

    model: str
    pictures: int
    errors: int
    threads: int
    loading: float
    inspecting: float
    decoding: float
    stages: dict[str, float]
    peak: int | None


def measure_speed(request: SpeedRequest) -> Speed:
    """Inspect pictures to a file that is thrown away, in turns with only decoding them.

    Raises:
        OutputError: the bundle cannot be used.
        SourceError: there is no such source, or it holds no file.
        SheetError: the source is a sheet that cannot be read.
    """
    begun = time.perf_counter()
    package = open_package(request.bundle, request.trust)
    inspector = Inspector(package, load_model(package))
    loading = time.perf_counter() - begun
    threads = request.threads or cores()
    listed = items(request.source, root=request.root, column=request.column, reading=request.reading)
    found = list(islice(listed, request.limit))
    _require_files(found)
    with tempfile.TemporaryDirectory() as folder:
        spent, errors = _in_turns(found, inspector, threads, Path(folder), request)
        peak = peak_memory()
        stages = _stages(found[:_LOOKED_INTO], package, threads, Path(folder), request.suffix)
    return Speed(
        model=inspector.name,
        pictures=len(found),
        errors=errors,
        threads=threads,
        loading=loading,
        inspecting=spent["inspecting"],
        decoding=spent["decoding"],
        stages=stages | {"row": spent["row"] / len(found)},
        peak=peak,
    )


def _in_turns(
    found: Sequence[Item], inspector: Inspector, threads: int, folder: Path, request: SpeedRequest
) -> tuple[Spent, int]:
    """Seconds of decoding and of inspecting all pictures, and how many had an error."""
    spent: Spent = {}
    errors, done, first = 0, 0, found[: 4 * threads]
    with progress_bar(request.console, "Measuring", rate=True) as progress:
        _decode_all(first, inspector, threads)
        _inspect_all(first, inspector, threads, folder / "first", request.suffix, {})
        for place in range(min(_BLOCKS, len(found))):
            block = found[place::_BLOCKS]
            with _clock(spent, "decoding"):
                _decode_all(block, inspector, threads)
            with _clock(spent, "inspecting"):
                errors += _inspect_all(block, inspector, threads, folder / str(place), request.suffix, spent)
            done += len(block)
            progress(done, len(found))
    return spent, errors


def peak_memory() -> int | None:
    """Bytes that this process has held at most; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    status = Path("/proc/self/status")
    if status.exists():  # what ``getrusage`` tells there may be of the process that started this one
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _require_files(found: Sequence[Item]) -> None:
    for item in found[:1]:
        try:
            data = item.read()
        except PictureError:
            continue
        if not isinstance(data, bytes):
            raise SourceError(f"{item.name}: nothing is decoded there; name picture files, to compare with decoding")


def _decode_all(block: Sequence[Item], inspector: Inspector, threads: int) -> None:
    def decode(item: Item) -> None:
        try:
            data = item.read()
            assert isinstance(data, bytes)
            imaging.decode(data, inspector.channels, item.name)
        except PictureError:
            pass

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, block))


def _inspect_all(
    block: Sequence[Item], inspector: Inspector, threads: int, folder: Path, suffix: str | None, spent: Spent
) -> int:
    """Inspect as ``clearcast predict`` does; what writing rows takes is added to ``spent``.

    Returns:
        how many pictures had an error.
    """
    writer = PictureWriter(Beside(denoised=folder / "denoised", suffix=suffix)) if suffix else None
    sink, _ = open_sink(folder / "results.csv", model=inspector.name, resume=False)
    errors = 0
    with sink, closing(inspect(inspector, block, workers=threads, restored=bool(writer), finish=writer)) as inspections:
        for inspection in inspections:
            with _clock(spent, "row"):
                sink.write(inspection)
            errors += bool(inspection.error)
    return errors


def _stages(block: Sequence[Item], package: Package, threads: int, folder: Path, suffix: str | None) -> Spent:
    """Seconds of a picture in each stage, the same steps as an inspection's, one after the other in each thread."""
    model = Model(package)
    with ThreadPoolExecutor(threads) as pool:
        each = list(filter(None, pool.map(lambda item: _steps(item, model, folder, suffix), block)))
    return {name: sum(spent[name] for spent in each) / len(each) for name in (each[0] if each else ())}


def _steps(item: Item, model: Model, folder: Path, suffix: str | None) -> Spent:
    """Seconds of each stage; empty where the picture cannot be inspected."""
    spent: Spent = {}
    try:
        with _clock(spent, "read"):
            data = item.read()
        assert isinstance(data, bytes)
        with _clock(spent, "hash"):
            name = hashlib.sha256(data).hexdigest()
        with _clock(spent, "decode"):
            picture = imaging.decode(data, model.channels, item.name)
    except PictureError:
        return {}
    if min(picture.shape[:2]) < SMALLEST:
        return {}
    with _clock(spent, "infer"):
        denoised = model.predict(picture, denoise=bool(suffix)).denoised
    with _clock(spent, "tell"):
        brightness(picture)
        if denoised is not None and model.always_denoises:
            sharpness(denoised)
    if suffix and denoised is not None:
        with _clock(spent, "picture"):
            imaging.save(folder / "stages" / f"{name}{suffix}", denoised)
    return spent


@contextmanager
def _clock(spent: Spent, name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    spent[name] = spent.get(name, 0.0) + time.perf_counter() - begun
