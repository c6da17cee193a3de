"""From one picture to an inspection: a bundle's answers as a verdict, a noise type and words."""

import hashlib
import time
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast import imaging
from clearcast.domain import Inspection, Looks, NoiseType, Verdict
from clearcast.errors import PictureError, PictureFault, first_line
from clearcast.imaging import Channels, Picture
from clearcast.noise import estimated_noises
from clearcast.noise.estimation import NoiseEstimate, tell_noise
from clearcast.runtime.answers import Answers
from clearcast.runtime.content import missing_content
from clearcast.runtime.looks import brightness, sharpness
from clearcast.runtime.model import SMALLEST, Model
from clearcast.runtime.package import Package
from clearcast.runtime.reference import PERCENTILES, REFERENCE, parse_reference
from clearcast.runtime.sources import Item
from clearcast.runtime.sources.item import FileState
from clearcast.runtime.verdicts import rule_of


class Inspector:
    """Inspects pictures by a bundle, one at a time. Several threads may use it at the same time.

    Args:
        package: a bundle; all its graphs are checked, so that a damaged one does not stop the work midway.
        model: its graphs, loaded; None: they are loaded here, each picture on one core.

    Raises:
        OutputError: a graph was changed, is missing, or cannot be loaded.
    """

    def __init__(self, package: Package, model: Model | None = None) -> None:
        self.manifest = package.manifest
        self.name = f"{package.name} {self.manifest['fingerprint'][:8]}"
        self.rule = rule_of(self.manifest)
        self.threshold = self.manifest["threshold"]
        self._model = model or Model(package)
        self._content_limits = _content_limits(package)

    @property
    def channels(self) -> Channels:
        """Whether pictures are looked at in colour or in grey."""
        return self._model.channels

    @property
    def judges(self) -> bool:
        """Whether the bundle gives verdicts."""
        return "p_defect" in self._model.says

    @property
    def verdicts(self) -> frozenset[Verdict]:
        """The verdicts that the bundle may give; none where it judges nothing."""
        if not self.judges or self.rule is None:
            return frozenset()
        return frozenset(Verdict) - ({Verdict.RETAKE} if self.rule.retake_distance is None else set())

    @property
    def always_restores(self) -> bool:
        """Whether there is no inspection without restoring the picture; else that takes time of its own, on demand."""
        return self._model.always_restores

    @property
    def has_evidence(self) -> bool:
        """Whether the bundle says where a defect is."""
        return "evidence" in self._model.says

    def inspect(self, item: Item, *, restored: bool = False, evidence: bool = False) -> Inspection:
        """Inspect one picture; where it cannot be used, the inspection says why.

        Args:
            item: names and reads the picture.
            restored: whether the inspection shall hold the picture without noise.
            evidence: whether it shall hold the log-odds of defect by place.
        """
        state = item.state()
        said = self._inspect(item, state, restored=restored, evidence=evidence)
        return said if state is None else replace(said, size=state.size, modified=state.modified)

    def _inspect(self, item: Item, state: FileState | None, *, restored: bool, evidence: bool) -> Inspection:
        sha256, pixels = None, None
        try:
            data = item.read()
            if isinstance(data, bytes):
                sha256 = hashlib.sha256(data).hexdigest()
                if item.state() != state:
                    raise PictureError(PictureFault.UNREADABLE, f"{item.name}: was changed while it was read")
                data = imaging.decode(data, self.channels, item.name)
            picture = self._fitting(data, item.name)
            pixels = _pixel_hash(picture)
            self._require_content(picture, item.name)
        except PictureError as error:
            return self._failed(item.name, sha256, str(error), pixels)
        begun = time.perf_counter()
        try:
            answers = self._model.answer(picture.reshape(1, *picture.shape[:2], -1), restored=restored)
            ms = 1000 * (time.perf_counter() - begun)
            noise = noise_of(answers, *picture.shape[:2])
            p_defect = None if answers.p_defect is None else float(answers.p_defect[0])
            verdict = self._verdict(p_defect)
        except Exception as error:  # ONNX Runtime's errors, such as of too little memory, have no common base
            size = f"{picture.shape[1]} x {picture.shape[0]} pixels"
            reason = f"{item.name}: {size} could not be inspected here ({first_line(error)})"
            return self._failed(item.name, sha256, reason, pixels)
        clean = None if answers.restored is None else answers.restored[0].reshape(picture.shape)
        return Inspection(
            path=item.name,
            sha256=sha256,
            verdict=verdict,
            p_defect=p_defect,
            threshold=self.threshold,
            noise_type=noise.noise_type,
            noise_level=noise.level if answers.levels is not None else "",
            p_noise=noise.probabilities[noise.noise_type],
            ms=ms,
            model=self.name,
            error="",
            restored=clean if restored else None,
            evidence=answers.evidence[0] if evidence and answers.evidence is not None else None,
            picture=picture if evidence and clean is None else None,
            shape=picture.shape[:2],
            looks=_looks(
                picture,
                clean if self._model.always_restores else None,
                noise if answers.levels is not None else None,
            ),
            pixels=pixels,
        )

    def _fitting(self, picture: Picture, name: str) -> Picture:
        """The picture in the bundle's channels; a frame of a camera may come in others."""
        height, width = picture.shape[:2]
        if min(height, width) < SMALLEST:
            raise PictureError(
                PictureFault.UNSUPPORTED,
                f"{name}: {width} x {height} pixels; needed are at least {SMALLEST} on each side",
            )
        return np.ascontiguousarray(_converted(picture, self.channels))

    def _require_content(self, picture: Picture, name: str) -> None:
        if reason := missing_content(picture, *self._content_limits):
            raise PictureError(PictureFault.NO_CONTENT, f"{name}: no content: {reason}")

    def _verdict(self, p_defect: float | None) -> Verdict | None:
        return None if p_defect is None or self.rule is None else self.rule.verdict(p_defect)

    def _failed(self, name: str, sha256: str | None, error: str, pixels: str | None) -> Inspection:
        return failed_inspection(name, sha256, error, threshold=self.threshold, model=self.name, pixels=pixels)


def failed_inspection(
    name: str, sha256: str | None, error: str, *, threshold: float | None, model: str, pixels: str | None = None
) -> Inspection:
    """An inspection without a verdict, which says why; see ``Inspection``."""
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


def _content_limits(package: Package) -> tuple[float | None, float | None]:
    """What the pictures that the bundle was measured on show: their least contrast and their widest blank band.

    The contrast is exceeded by all but one in a hundred. Older bundles say neither; then they are None.
    """
    if REFERENCE not in package.names():
        return None, None
    numbers = parse_reference(package.read(REFERENCE), str(package.path))["numbers"]
    least, widest = numbers.get("contrast"), numbers.get("blank_band")
    return (
        least["quantiles"][PERCENTILES.index(1)] if least else None,
        widest["quantiles"][PERCENTILES.index(100)] if widest else None,
    )


def _pixel_hash(picture: Picture) -> str:
    digest = hashlib.blake2b(str(picture.shape).encode(), digest_size=16)
    digest.update(picture.data)
    return digest.hexdigest()


def _converted(picture: Picture, channels: Channels) -> Picture:
    """In the channels that are asked for; grey is weighted as in ``imaging.decode``."""
    if picture.ndim == (3 if channels is Channels.RGB else 2):
        return picture
    code = cv2.COLOR_GRAY2RGB if channels is Channels.RGB else cv2.COLOR_RGB2GRAY
    return np.asarray(cv2.cvtColor(picture, code), np.uint8)


def _looks(picture: Picture, restored: Picture | None, noise: NoiseEstimate | None) -> Looks:
    return Looks(
        brightness=brightness(picture),
        sharpness=None if restored is None else sharpness(restored),
        sigma=noise.sigma if noise else None,
        density=noise.density if noise else None,
    )


def noise_of(answers: Answers, height: int, width: int) -> NoiseEstimate:
    """What the answers about one picture say of its noise; waves are looked into only where they are the likeliest."""
    chances = answers.p_noise[0]
    likeliest = answers.noise_types[int(chances.argmax())]
    waves: NDArray[np.float32] | list[float] | None = None
    if likeliest is NoiseType.PERIODIC and answers.waves is not None:
        waves = answers.waves[0]
    elif likeliest is NoiseType.PERIODIC and answers.wave is not None:
        waves = answers.wave[0].tolist()
    zeros = [0.0] * len(estimated_noises(answers.noise_types))
    levels = zeros if answers.levels is None else answers.levels[0].tolist()
    return tell_noise(chances.tolist(), levels, waves, height, width, answers.noise_types)
