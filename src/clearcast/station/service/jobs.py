"""Job runner, which inspects an upload and stores its images, and the thread pool that writes them to the disk."""

import logging
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache, partial
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.inference.inspector import failed_inspection
from clearcast.inference.sources import SourceItem
from clearcast.station.image_store import ImageStore, StoreUnavailable
from clearcast.station.records import InspectionEntry, ShadowResult
from clearcast.station.service.lazy_bundle import LazyBundle, LoadedBundle
from clearcast.station.service.state import ImageUpload
from clearcast.types import Inspection

_MAX_NAME = 255  # characters
_logger = logging.getLogger(__name__)

DecodeFunction = Callable[[Channels], ImageArray]
_P = ParamSpec("_P")
_T = TypeVar("_T")


class DaemonExecutor:
    """Thread pool with daemon threads, so that a disk that hangs does not keep the process from ending.

    (Python waits for the threads of ``ThreadPoolExecutor`` at exit.)

    Args:
        threads: number of threads.
        name: name of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a function on a thread of the pool."""
        future: Future[_T] = Future()

        def do() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(*args, **kwargs))
                except BaseException as error:  # passed to the caller by the future
                    future.set_exception(error)

        self._jobs.put(do)
        return future

    def shutdown(self) -> None:
        """End the threads after the work submitted so far, without waiting for them."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # release it before waiting for the next


@dataclass(frozen=True, kw_only=True)
class JobRunner:
    """Inspects uploads and stores their images. Thread-safe.

    Attributes:
        image_store: stores the images.
        shadow: the shadow bundle; None if there is none.
        disk_writer: writes an image to the disk while it is inspected, since a flush takes milliseconds.
    """

    image_store: ImageStore
    shadow: LazyBundle | None
    disk_writer: DaemonExecutor

    def run(self, upload: ImageUpload, at: int, bundle: LoadedBundle, *, alone: bool) -> InspectionEntry:
        """Inspect an upload with a bundle and the shadow bundle; its images are stored when this returns.

        Args:
            upload: any bytes; if they are no image, the entry has an error.
            at: when it was submitted, see ``InspectionEntry``.
            bundle: gives the verdict.
            alone: whether no other image needs the CPU cores.

        Raises:
            StoreUnavailable: the images cannot be stored.
        """
        stored = self.disk_writer.submit(self.image_store.put, upload.data)
        name = printable_name(upload.name)
        decode = cache(partial(_decode, upload.data, name))
        inspection = _inspect(bundle, name, decode, alone=alone, evidence=bundle.inspector.has_evidence)
        sha256 = stored.result()
        if not inspection.error:
            self._store_outputs(sha256, name, inspection)
        shadow = self._shadow_result(inspection, name, decode, alone=alone) if self.shadow else None
        return _entry(upload, at, name, sha256, inspection, shadow)

    def _store_outputs(self, sha256: str, name: str, inspection: Inspection) -> None:
        """Store the bundle's output images; a failure to encode them never costs the verdict."""
        try:
            self.image_store.put_outputs(
                sha256, inspection.model, denoised=inspection.restored, evidence=inspection.evidence
            )
        except StoreUnavailable:
            raise
        except Exception:
            _logger.exception("the output images of %r could not be stored", name)

    def _shadow_result(self, primary: Inspection, name: str, decode: DecodeFunction, *, alone: bool) -> ShadowResult:
        """Inspect with the shadow bundle; its errors never affect the verdict."""
        assert self.shadow, "there is no shadow bundle"
        if self.shadow.loaded is None:
            return _no_shadow_result(self.shadow.path.name, self.shadow.fault)
        if primary.error:  # no bundle can inspect it
            return _no_shadow_result(self.shadow.loaded.inspector.name, primary.error)
        result = _inspect(self.shadow.loaded, name, decode, alone=alone, evidence=False)
        return ShadowResult(
            model=result.model,
            verdict=result.verdict,
            p_defect=result.p_defect,
            threshold=result.threshold,
            error=result.error,
        )


def printable_name(name: str) -> str:
    r"""Return an image's name as printable text of at most 255 characters, safe for databases and web pages.

    >>> printable_name("a\0b\n.jpg"), printable_name("fish\u202egpj.exe"), printable_name("Bild\u202f1.jpg")
    ('a\ufffdb\ufffd.jpg', 'fish\ufffdgpj.exe', 'Bild 1.jpg')
    """
    return "".join(map(_printable, name[:_MAX_NAME]))


def _printable(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character if character.isprintable() else "\ufffd"


def _decode(data: bytes, name: str, channels: Channels) -> ImageArray:
    return imaging.decode_image(data, channels, name)


def _inspect(bundle: LoadedBundle, name: str, decode: DecodeFunction, *, alone: bool, evidence: bool) -> Inspection:
    """Inspect an image; an unexpected exception gives an inspection with an error."""
    item = SourceItem(name=name, key=name, read=lambda: decode(bundle.inspector.channels))
    try:
        return bundle.inspect(item, alone=alone, evidence=evidence)
    except Exception as error:  # such as too little memory to decode the image
        _logger.exception("the image %r could not be inspected", name)
        reason = f"could not be inspected ({type(error).__name__}); contact the station's administrator"
        inspector = bundle.inspector
        return failed_inspection(name, None, f"{name}: {reason}", threshold=inspector.threshold, model=inspector.name)


def _no_shadow_result(model: str, error: str) -> ShadowResult:
    return ShadowResult(model=model, verdict=None, p_defect=None, threshold=None, error=error)


def _entry(
    upload: ImageUpload, at: int, name: str, sha256: str, inspection: Inspection, shadow: ShadowResult | None
) -> InspectionEntry:
    looks = inspection.looks
    height, width = inspection.shape or (None, None)
    return InspectionEntry(
        at=at,
        name=name,
        station=printable_name(upload.station),
        sha256=sha256,
        size=len(upload.data),
        width=width,
        height=height,
        verdict=inspection.verdict,
        p_defect=inspection.p_defect,
        threshold=inspection.threshold,
        noise_type=inspection.noise_type,
        noise_level=inspection.noise_level,
        p_noise=inspection.p_noise,
        ms=inspection.ms,
        model=inspection.model,
        error=inspection.error,
        brightness=looks.brightness if looks else None,
        sharpness=looks.sharpness if looks else None,
        sigma=looks.sigma if looks else None,
        density=looks.density if looks else None,
        shadow=shadow,
        pixels=inspection.pixels,
    )
