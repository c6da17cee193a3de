"""Fake bundles and a fake log, and an inspection service with them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, cast

import numpy as np
import pytest

from clearcast.bundle.manifest import Manifest
from clearcast.bundle.signing import TrustedSigners
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError, PictureError
from clearcast.inference.drift_statistics import DriftReference
from clearcast.inference.inspector import Inspector
from clearcast.inference.sources import SourceItem
from clearcast.noise.registry import NoiseType
from clearcast.station.image_store import ImageStore
from clearcast.station.log import InspectionLog, LogUnavailable
from clearcast.station.records import InspectionEntry
from clearcast.station.service import ImageUpload, InspectionService, lazy_bundle
from clearcast.station.service import queue as queue_module
from clearcast.station.service.lazy_bundle import LoadedBundle
from clearcast.types import ImageStats, Inspection, Verdict

TIMEOUT = 60.0  # seconds; generous, for busy machines


def grey_png(level: int) -> bytes:
    """Return a PNG of 20 x 16 pixels of one grey level."""
    return imaging.encode_image(np.full((16, 20), level, np.uint8), ".png")


def upload(level: int = 100, name: str = "part.png", station: str = "") -> ImageUpload:
    return ImageUpload(data=grey_png(level), name=name, station=station)


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.002)


@dataclass
class BrightnessInspector:
    """A fake inspector whose defect probability is the image's mean brightness.

    Attributes:
        unblocked: inspections block while it is not set.
        inspected: names of the images, in order.
        errors: exceptions to raise, by name of the image.
    """

    name: str = "bright 12345678"
    threshold: float = 0.5
    has_evidence: bool = True
    always_denoises: bool = True
    channels: Channels = Channels.GREY
    unblocked: threading.Event = field(default_factory=threading.Event)
    inspected: list[str] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    manifest: Manifest = field(default_factory=lambda: cast(Manifest, {"fingerprint": "12345678"}))

    def __post_init__(self) -> None:
        self.unblocked.set()

    def inspect(self, item: SourceItem, *, denoise: bool = False, evidence: bool = False) -> Inspection:
        self.inspected.append(item.name)
        assert self.unblocked.wait(TIMEOUT)
        if item.name in self.errors:
            raise self.errors[item.name]
        try:
            pixels = item.read()
        except PictureError as error:
            return make_inspection(self, item.name, None, str(error))
        assert isinstance(pixels, np.ndarray)
        inspection = make_inspection(self, item.name, float(pixels.mean()) / 255)
        return Inspection(
            **{
                **vars(inspection),
                "restored": pixels if denoise else None,
                "evidence": np.zeros((2, 3), np.float32) if evidence else None,
                "shape": pixels.shape[:2],
                "looks": ImageStats(brightness=float(pixels.mean()), sharpness=1.0, sigma=None, density=None),
            }
        )


def make_inspection(inspector: BrightnessInspector, name: str, p_defect: float | None, error: str = "") -> Inspection:
    return Inspection(
        path=name,
        sha256=None,
        verdict=None if p_defect is None else Verdict.DEFECT if p_defect > inspector.threshold else Verdict.OK,
        p_defect=p_defect,
        threshold=inspector.threshold,
        noise_type=None if error else NoiseType.NONE,
        noise_level="",
        p_noise=None if error else 0.75,
        ms=None if error else 1.5,
        model=inspector.name,
        error=error,
    )


@dataclass
class FakeBundleLoader:
    """A fake of ``load_inspectors`` with bundles by folder name; others are missing."""

    bundles: dict[str, LoadedBundle] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)

    def load(self, path: Path, threads: int, _: TrustedSigners | None = None) -> LoadedBundle:
        assert threads >= 1
        self.requested.append(path.name)
        if path.name not in self.bundles:
            raise OutputError(f"{path}: no such folder or file; expected a bundle")
        return self.bundles[path.name]


def loaded_bundle(
    inspector: BrightnessInspector, *, wide: BrightnessInspector | None = None, reference: DriftReference | None = None
) -> LoadedBundle:
    both = cast(Inspector, inspector), cast(Inspector, wide or inspector)
    return LoadedBundle(inspector=both[0], wide=both[1], reference=reference)


@dataclass
class FakeLog:
    """A fake log in memory.

    Attributes:
        unblocked: writes block while it is not set.
        is_unavailable: whether the database is unavailable.
        rejected_names: names of entries that it rejects.
        writes: names per requested transaction.
        latest_calls: number of calls of ``latest``.
    """

    entries: list[InspectionEntry] = field(default_factory=list)
    unblocked: threading.Event = field(default_factory=threading.Event)
    is_unavailable: bool = False
    rejected_names: set[str] = field(default_factory=set)
    writes: list[list[str]] = field(default_factory=list)
    latest_calls: int = 0

    def __post_init__(self) -> None:
        self.unblocked.set()

    def write(self, entries: Sequence[InspectionEntry]) -> list[int]:
        self.writes.append([entry.name for entry in entries])
        assert self.unblocked.wait(TIMEOUT)
        self.ping()
        if self.rejected_names & {entry.name for entry in entries}:
            raise ValueError("the log rejects this")
        first = len(self.entries) + 1
        self.entries.extend(entries)
        return list(range(first, first + len(entries)))

    def latest(self, model: str, count: int) -> list[InspectionEntry]:
        self.ping()
        self.latest_calls += 1
        return [entry for entry in reversed(self.entries) if entry.model == model and not entry.error][:count]

    def ping(self) -> None:
        if self.is_unavailable:
            self.raise_unavailable()

    def check_writable(self) -> None:
        self.ping()

    def raise_unavailable(self, *_: object) -> NoReturn:
        raise LogUnavailable("the log cannot be reached; start the database")

    @property
    def as_log(self) -> InspectionLog:
        return cast(InspectionLog, self)


@dataclass
class ServiceSetup:
    """An inspection service with fakes and a real image store."""

    folder: Path
    log: FakeLog = field(default_factory=FakeLog)
    inspector: BrightnessInspector = field(default_factory=BrightnessInspector)
    bundle_loader: FakeBundleLoader = field(default_factory=FakeBundleLoader)

    def __post_init__(self) -> None:
        self.image_store = ImageStore(self.folder / "pictures")
        self.bundle_loader.bundles["bundle"] = loaded_bundle(self.inspector)

    @asynccontextmanager
    async def service(
        self, *, ready: bool = True, shadow: Path | None = None, threads: int = 2, waiting: int = 64
    ) -> AsyncIterator[InspectionService]:
        service = InspectionService(
            self.folder / "bundle",
            log=self.log.as_log,
            image_store=self.image_store,
            shadow=shadow,
            threads=threads,
            waiting=waiting,
        )
        service.start()
        try:
            if ready:
                await wait_until(lambda: service.state().ready)
            yield service
        finally:
            self.inspector.unblocked.set()
            self.log.unblocked.set()
            await service.close()


def make_service_setup(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceSetup:
    """A setup with fake bundles and frequent reconnection attempts."""
    setup = ServiceSetup(folder)
    monkeypatch.setattr(queue_module, "_RETRY_INTERVAL", 0.01)
    monkeypatch.setattr(lazy_bundle, "load_inspectors", setup.bundle_loader.load)
    return setup
