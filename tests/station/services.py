"""Fakes of a bundle and a log for tests of the inspection service, and a service with them."""

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
from clearcast.station.service import ImageUpload, InspectionService
from clearcast.station.service import lazy_bundle as bundles_module
from clearcast.station.service import queue as desk_module
from clearcast.station.service.lazy_bundle import LoadedBundle
from clearcast.types import ImageStats, Inspection, Verdict

PATIENCE = 60.0  # seconds; generous, for busy machines


def picture(brightness: int) -> bytes:
    """A PNG of 20 x 16 pixels of one grey level."""
    return imaging.encode_image(np.full((16, 20), brightness, np.uint8), ".png")


def upload(brightness: int = 100, name: str = "part.png", station: str = "") -> ImageUpload:
    return ImageUpload(data=picture(brightness), name=name, station=station)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


@dataclass
class Bright:
    """A fake inspector whose defect probability is the image's mean brightness.

    ``open``: inspections block while it is not set. ``asked``: names, in order. ``fails``: exceptions by name.
    """

    name: str = "bright 12345678"
    threshold: float = 0.5
    has_evidence: bool = True
    always_denoises: bool = True
    channels: Channels = Channels.GREY
    open: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    manifest: Manifest = field(default_factory=lambda: cast(Manifest, {"fingerprint": "12345678"}))

    def __post_init__(self) -> None:
        self.open.set()

    def inspect(self, item: SourceItem, *, restored: bool = False, evidence: bool = False) -> Inspection:
        self.asked.append(item.name)
        assert self.open.wait(PATIENCE)
        if item.name in self.fails:
            raise self.fails[item.name]
        try:
            pixels = item.read()
        except PictureError as error:
            return said(self, item.name, None, str(error))
        assert isinstance(pixels, np.ndarray)
        inspection = said(self, item.name, float(pixels.mean()) / 255)
        return Inspection(
            **{
                **vars(inspection),
                "restored": pixels if restored else None,
                "evidence": np.zeros((2, 3), np.float32) if evidence else None,
                "shape": pixels.shape[:2],
                "looks": ImageStats(brightness=float(pixels.mean()), sharpness=1.0, sigma=None, density=None),
            }
        )


def said(by: Bright, name: str, p_defect: float | None, error: str = "") -> Inspection:
    return Inspection(
        path=name,
        sha256=None,
        verdict=None if p_defect is None else Verdict.DEFECT if p_defect > by.threshold else Verdict.OK,
        p_defect=p_defect,
        threshold=by.threshold,
        noise_type=None if error else NoiseType.NONE,
        noise_level="",
        p_noise=None if error else 0.75,
        ms=None if error else 1.5,
        model=by.name,
        error=error,
    )


@dataclass
class Shop:
    """A fake of ``bundles.load`` with bundles by folder name; others are missing."""

    there: dict[str, LoadedBundle] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)

    def load(self, path: Path, threads: int, _: TrustedSigners | None = None) -> LoadedBundle:
        assert threads >= 1
        self.tried.append(path.name)
        if path.name not in self.there:
            raise OutputError(f"{path}: no such folder or file; expected a bundle")
        return self.there[path.name]


def loaded(inspector: Bright, *, wide: Bright | None = None, reference: DriftReference | None = None) -> LoadedBundle:
    both = cast(Inspector, inspector), cast(Inspector, wide or inspector)
    return LoadedBundle(inspector=both[0], wide=both[1], reference=reference)


@dataclass
class Ledger:
    """A fake log in memory.

    ``open``: writes block while it is not set. ``away``: whether the database is unavailable. ``refused``: names of
    entries that it rejects. ``writes``: names per requested transaction.
    """

    entries: list[InspectionEntry] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    away: bool = False
    refused: set[str] = field(default_factory=set)
    writes: list[list[str]] = field(default_factory=list)
    looked: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    def write(self, entries: Sequence[InspectionEntry]) -> list[int]:
        self.writes.append([entry.name for entry in entries])
        assert self.open.wait(PATIENCE)
        self.ping()
        if self.refused & {entry.name for entry in entries}:
            raise ValueError("the log rejects this")
        first = len(self.entries) + 1
        self.entries.extend(entries)
        return list(range(first, first + len(entries)))

    def latest(self, model: str, count: int) -> list[InspectionEntry]:
        self.ping()
        self.looked += 1
        return [entry for entry in reversed(self.entries) if entry.model == model and not entry.error][:count]

    def ping(self) -> None:
        if self.away:
            self.refuse()

    def check_writable(self) -> None:
        self.ping()

    def refuse(self, *_: object) -> NoReturn:
        raise LogUnavailable("the log cannot be reached; start the database")

    @property
    def log(self) -> InspectionLog:
        return cast(InspectionLog, self)


@dataclass
class Scene:
    """An inspection service with fakes and a real image store."""

    folder: Path
    ledger: Ledger = field(default_factory=Ledger)
    inspector: Bright = field(default_factory=Bright)
    shop: Shop = field(default_factory=Shop)

    def __post_init__(self) -> None:
        self.shelf = ImageStore(self.folder / "pictures")
        self.shop.there["bundle"] = loaded(self.inspector)

    @asynccontextmanager
    async def desk(
        self, *, ready: bool = True, shadow: Path | None = None, threads: int = 2, waiting: int = 64
    ) -> AsyncIterator[InspectionService]:
        desk = InspectionService(
            self.folder / "bundle",
            log=self.ledger.log,
            shelf=self.shelf,
            shadow=shadow,
            threads=threads,
            waiting=waiting,
        )
        desk.start()
        try:
            if ready:
                await until(lambda: desk.state().ready)
            yield desk
        finally:
            self.inspector.open.set()
            self.ledger.open.set()
            await desk.close()


def scene_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A setup with fake bundles and frequent reconnection attempts."""
    scene = Scene(folder)
    monkeypatch.setattr(desk_module, "_PAUSE", 0.01)
    monkeypatch.setattr(bundles_module, "load_inspectors", scene.shop.load)
    return scene
