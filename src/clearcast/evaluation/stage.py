"""Stages of a study: order, headings, dependencies and published results."""

from enum import StrEnum

from clearcast.errors import RecipeError


class Stage(StrEnum):
    """Stage of the study, in order; the first five have the numbers 0 to 4."""

    REFERENCE = "reference"
    NOISY = "noisy"
    NOISE_TYPE = "noise_type"
    DENOISING = "denoising"
    DENOISED = "denoised"
    TRANSFER = "transfer"

    @property
    def heading(self) -> str:
        """Heading of the stage's results."""
        return _HEADINGS[self]

    @property
    def needs(self) -> tuple["Stage", ...]:
        """Stages whose results this one requires."""
        return _NEEDS.get(self, ())


_HEADINGS = {
    Stage.REFERENCE: "Stage 0: ok or defect on noise-free images (the ceiling)",
    Stage.NOISY: "Stage 1: ok or defect on noisy images",
    Stage.NOISE_TYPE: "Stage 2: noise type",
    Stage.DENOISING: "Stage 3: denoising",
    Stage.DENOISED: "Stage 4: ok or defect on denoised images",
    Stage.TRANSFER: "Stage 1's network on denoised images, without retraining",
}
_NEEDS = {Stage.DENOISED: (Stage.DENOISING,), Stage.TRANSFER: (Stage.NOISY, Stage.DENOISING)}
_NUMBERED = tuple(stage for stage in Stage if stage is not Stage.TRANSFER)

# From the published report: on its own 250 test images of a random split.
PUBLISHED: dict[Stage, dict[str, float]] = {
    Stage.NOISY: {"accuracy": 0.7640},
    Stage.NOISE_TYPE: {"accuracy": 0.7320},
    Stage.DENOISING: {"psnr": 26.07, "ssim": 0.7190, "mse": 0.0054, "lpips": 0.2754},
    Stage.DENOISED: {"accuracy": 0.8040},
}


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Parse a list such as ``0,1,4`` or ``noisy,noise_type`` into distinct stages in the study's order.

    Raises:
        RecipeError: a stage is unknown.

    >>> [stage.value for stage in parse_stages("4, noisy")]
    ['noisy', 'denoised']
    """
    names = {str(number): stage for number, stage in enumerate(_NUMBERED)} | {stage.value: stage for stage in _NUMBERED}
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in names]
    if unknown or not words:
        raise RecipeError(f"unknown stage {', '.join(unknown) or repr(text)}; expected one of {', '.join(names)}")
    wanted = {names[word] for word in words}
    return tuple(stage for stage in Stage if stage in wanted)
