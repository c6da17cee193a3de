"""Inspector: inspects one image with a bundle, or several in parallel; returns verdict, noise type and noise level."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue

import cv2
import numpy as np

from clearcast.bundle.archive import BundlePackage
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import PictureError, PictureFault, first_error_line
from clearcast.inference.decision import read_decision_rule
from clearcast.inference.drift_statistics import REFERENCE_FILE, REFERENCE_PERCENTILES, parse_drift_reference
from clearcast.inference.image_statistics import find_missing_content, measure_brightness, measure_sharpness
from clearcast.inference.model import MIN_IMAGE_SIDE, OnnxModel
from clearcast.inference.prediction import Prediction
from clearcast.inference.sources import SourceItem
from clearcast.inference.sources.item import FileState
from clearcast.types import ImageStats, Inspection, Verdict

_QUEUED_PER_WORKER = 2  # images in progress or waiting

FinishInspection = Callable[[Inspection, str], Inspection]
"""Function that completes an inspection, such as by writing its images; the second argument is the item's key."""


class Inspector:
    """Inspects images with a bundle, one at a time. Several threads may use it at the same time.

    Args:
        package: a bundle; all its graphs are checked now, so that a damaged one does not interrupt the work later.
        model: its loaded graphs; None: they are loaded here, with one core for each image.

    Raises:
        OutputError: a graph was changed, is missing, or cannot be loaded.
    """

    def __init__(self, package: BundlePackage, model: OnnxModel | None = None) -> None:
        self.manifest = package.manifest
        self.name = f"{package.name} {self.manifest['fingerprint'][:8]}"
        self.rule = read_decision_rule(self.manifest)
        self.threshold = self.manifest["threshold"]
        self._model = model or OnnxModel(package)
        self._content_limits = _content_limits(package)

    @property
    def channels(self) -> Channels:
        """Whether images are inspected in colour or in grey."""
        return self._model.channels

    @property
    def gives_verdicts(self) -> bool:
        """Whether the bundle gives verdicts."""
        return "p_defect" in self._model.output_names

    @property
    def verdicts(self) -> frozenset[Verdict]:
        """The verdicts that the bundle may give; empty if it gives none."""
        if not self.gives_verdicts or self.rule is None:
            return frozenset()
        return frozenset(Verdict) - ({Verdict.RETAKE} if self.rule.retake_distance is None else set())

    @property
    def always_denoises(self) -> bool:
        """Whether every inspection denoises the image; if not, denoising takes extra time, on request."""
        return self._model.always_denoises

    @property
    def has_evidence(self) -> bool:
        """Whether the bundle gives an evidence map of defects."""
        return "evidence" in self._model.output_names

    def inspect(self, item: SourceItem, *, denoise: bool = False, evidence: bool = False) -> Inspection:
        """Inspect one image; if it cannot be inspected, the inspection has an error.

        Args:
            item: names and reads the image.
            denoise: whether the inspection must include the denoised image.
            evidence: whether it must include the log-odds of defect by position.
        """
        state = item.state()
        inspection = self._inspect(item, state, denoise=denoise, evidence=evidence)
        return inspection if state is None else replace(inspection, size=state.size, modified=state.modified)

    def _inspect(self, item: SourceItem, state: FileState | None, *, denoise: bool, evidence: bool) -> Inspection:
        sha256 = pixels = None
        try:
            data = item.read()
            if isinstance(data, bytes):
                sha256 = hashlib.sha256(data).hexdigest()
                if item.state() != state:
                    raise PictureError(PictureFault.UNREADABLE, f"{item.name}: was changed while it was being read")
                data = imaging.decode_image(data, self.channels, item.name)
            image = self._convert(data, item.name)
            pixels = _pixel_hash(image)
            self._require_content(image, item.name)
        except PictureError as error:
            return self._failed(item.name, sha256, str(error), pixels)
        started = time.perf_counter()
        try:
            prediction = self._model.predict(image, denoise=denoise)
            ms = 1000 * (time.perf_counter() - started)
            verdict = self._verdict(prediction.p_defect)
        except Exception as error:  # ONNX Runtime's errors, such as of too little memory, have no common base
            size = f"{image.shape[1]} x {image.shape[0]} pixels"
            reason = f"{item.name}: {size} could not be inspected here ({first_error_line(error)})"
            return self._failed(item.name, sha256, reason, pixels)
        inspection = self._succeeded(item.name, sha256, image, prediction, denoise=denoise, evidence=evidence)
        return replace(inspection, verdict=verdict, ms=ms, pixels=pixels)

    def _succeeded(
        self,
        name: str,
        sha256: str | None,
        image: ImageArray,
        prediction: Prediction,
        *,
        denoise: bool,
        evidence: bool,
    ) -> Inspection:
        """Return the inspection of an image from its prediction, without verdict, inference time and pixel hash."""
        noise, denoised = prediction.noise, prediction.denoised
        return Inspection(
            path=name,
            sha256=sha256,
            verdict=None,
            p_defect=prediction.p_defect,
            threshold=self.threshold,
            noise_type=noise.noise_type,
            noise_level=noise.level if prediction.has_noise_levels else "",
            p_noise=noise.probabilities[noise.noise_type],
            ms=None,
            model=self.name,
            error="",
            restored=denoised if denoise else None,
            evidence=prediction.evidence if evidence else None,
            picture=image if evidence and denoised is None else None,
            shape=image.shape[:2],
            looks=_image_statistics(image, prediction, with_sharpness=self._model.always_denoises),
        )

    def _convert(self, image: ImageArray, name: str) -> ImageArray:
        """Return an image in the bundle's channels; a camera frame may have others."""
        height, width = image.shape[:2]
        if min(height, width) < MIN_IMAGE_SIDE:
            raise PictureError(
                PictureFault.UNSUPPORTED,
                f"{name}: expected at least {MIN_IMAGE_SIDE} x {MIN_IMAGE_SIDE} pixels, got {width} x {height}",
            )
        return np.ascontiguousarray(_in_channels(image, self.channels))

    def _require_content(self, image: ImageArray, name: str) -> None:
        if reason := find_missing_content(image, *self._content_limits):
            raise PictureError(PictureFault.NO_CONTENT, f"{name}: no content: {reason}")

    def _verdict(self, p_defect: float | None) -> Verdict | None:
        return None if p_defect is None or self.rule is None else self.rule.verdict(p_defect)

    def _failed(self, name: str, sha256: str | None, error: str, pixels: str | None) -> Inspection:
        return failed_inspection(name, sha256, error, threshold=self.threshold, model=self.name, pixels=pixels)


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inspect_images(
    inspector: Inspector,
    items: Iterable[SourceItem],
    *,
    workers: int,
    denoise: bool = False,
    evidence: bool = False,
    finish: FinishInspection | None = None,
) -> Generator[Inspection]:
    """Inspect images, several at a time; a bad image gives an inspection with an error.

    Each worker processes one image from reading to the inspection. So decoding and inference overlap, cores do not wait
    for each other within a graph, and images may differ in size. (On CPUs, batches bring no gain.)

    Args:
        inspector: uses one thread for each image.
        items: the images; read in a separate thread as they are needed, since a source may block.
        workers: how many images are processed at a time.
        denoise, evidence: see ``Inspector.inspect``.
        finish: called in the worker with each inspection and its item's key; its result replaces the inspection. It may
            write the denoised image and drop it from the inspection.

    Yields:
        The inspections in the order of the items, as soon as they are ready.
    """
    slots = threading.Semaphore(_QUEUED_PER_WORKER * workers)
    futures: SimpleQueue[Future[Inspection] | None] = SimpleQueue()
    stopped = threading.Event()
    failed: list[BaseException] = []

    def work(item: SourceItem) -> Inspection:
        inspection = inspector.inspect(item, denoise=denoise, evidence=evidence)
        return finish(inspection, item.key) if finish else inspection

    def feed(pool: ThreadPoolExecutor) -> None:
        try:
            for item in items:
                slots.acquire()
                if stopped.is_set():
                    break
                futures.put(pool.submit(work, item))
        except BaseException as error:  # from the source; raised again in the consumer's thread
            failed.append(error)
        futures.put(None)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")
    threading.Thread(target=feed, args=(pool,), name="source", daemon=True).start()
    try:
        while future := futures.get():
            yield future.result()
            slots.release()
    finally:
        stopped.set()
        slots.release()
        pool.shutdown(cancel_futures=True)
    if failed:
        raise failed[0]


def failed_inspection(
    name: str, sha256: str | None, error: str, *, threshold: float | None, model: str, pixels: str | None = None
) -> Inspection:
    """Return an inspection without a verdict, with the error; see ``Inspection``."""
    return Inspection(
        path=name,
        sha256=sha256,
        verdict=None,
        p_defect=None,
        threshold=threshold,
        noise_type=None,
        noise_level="",
        p_noise=None,
        ms=None,
        model=model,
        error=error,
        pixels=pixels,
    )


def _content_limits(package: BundlePackage) -> tuple[float | None, float | None]:
    """Return the lowest contrast and the widest blank band of the images that the bundle was measured on.

    The contrast is their 1% quantile. Both are None for a bundle whose reference does not have them.
    """
    if REFERENCE_FILE not in package.names():
        return None, None
    numbers = parse_drift_reference(package.read(REFERENCE_FILE), str(package.path))["numbers"]
    contrast, blank_band = numbers.get("contrast"), numbers.get("blank_band")
    return (
        contrast["quantiles"][REFERENCE_PERCENTILES.index(1)] if contrast else None,
        blank_band["quantiles"][REFERENCE_PERCENTILES.index(100)] if blank_band else None,
    )


def _pixel_hash(image: ImageArray) -> str:
    digest = hashlib.blake2b(str(image.shape).encode(), digest_size=16)
    digest.update(image.data)
    return digest.hexdigest()


def _in_channels(image: ImageArray, channels: Channels) -> ImageArray:
    """Return an image in grey or colour; grey is weighted as in ``imaging.decode_image``."""
    if image.ndim == (3 if channels is Channels.RGB else 2):
        return image
    code = cv2.COLOR_GRAY2RGB if channels is Channels.RGB else cv2.COLOR_RGB2GRAY
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _image_statistics(image: ImageArray, prediction: Prediction, *, with_sharpness: bool) -> ImageStats:
    """Return the statistics of an image for drift monitoring; ``with_sharpness``: with that of the denoised image."""
    noise = prediction.noise if prediction.has_noise_levels else None
    return ImageStats(
        brightness=measure_brightness(image),
        sharpness=measure_sharpness(prediction.denoised)
        if with_sharpness and prediction.denoised is not None
        else None,
        sigma=noise.sigma if noise else None,
        density=noise.density if noise else None,
    )
