"""Recipes: named training configurations, read strictly from TOML files."""

import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import RecipeError
from clearcast.nn.published import Activation

_Share = Annotated[float, Field(ge=0, lt=1)]
_Count = Annotated[int, Field(ge=1)]
_LearningRate = Annotated[float, Field(gt=0, lt=1)]

_FOLDER = resources.files("clearcast.train") / "recipes"


class LossInput(StrEnum):
    """Input of the classifier's cross-entropy. It expects logits, but the report's list of layers ends in a softmax."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSettings(_Strict):
    """Input images of the networks: resized to ``size`` pixels a side."""

    size: Annotated[int, Field(ge=32, le=1024, multiple_of=8)]
    channels: Channels


class SplitShares(_Strict):
    """Shares of the rows: ``test_share`` of all rows, ``validation_share`` of the others.

    ``validation_share`` None: 0 for a random split, as published, and else as much as calibration needs.
    """

    test_share: Annotated[float, Field(gt=0, lt=1)]
    validation_share: _Share | None = None


class FitSettings(_Strict):
    """Training settings of one network, with Adam.

    ``patience``: stop after this many epochs without a better loss on the validation rows, and keep the best epoch;
    None trains all epochs and keeps the last.
    """

    learning_rate: _LearningRate
    batch: _Count
    epochs: _Count
    patience: _Count | None = None


class ClassifierSettings(FitSettings):
    """Settings of the published classifier."""

    activation: Activation
    loss_on: LossInput


class DenoiserSettings(FitSettings):
    """Settings of the published denoiser, which is fitted by mean squared error."""


class Recipe(_Strict):
    """A named training configuration."""

    name: str
    input: InputSettings
    split: SplitShares
    classifier: ClassifierSettings
    denoiser: DenoiserSettings

    @model_validator(mode="after")
    def _patience_needs_validation(self) -> Self:
        if (self.classifier.patience or self.denoiser.patience) and self.split.validation_share == 0:
            raise ValueError("patience needs validation rows: give [split] a validation_share above 0")
        return self


def list_builtin_recipes() -> list[str]:
    """List the names of the built-in recipes."""
    return sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name: str) -> Recipe:
    """Load a built-in recipe by its name, or a user's recipe by the path of its TOML file.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, a missing key, or a value that is not allowed.
    """
    if name in list_builtin_recipes():
        text = (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    elif name.endswith(".toml") and Path(name).is_file():
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"recipe {name}: cannot be read as UTF-8 text ({error})") from None
    else:
        known = ", ".join(list_builtin_recipes())
        raise RecipeError(f"unknown recipe {name!r}; expected {known}, or the path of a .toml file")
    try:
        return parse_recipe(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {name}: not valid TOML ({error})") from None


def parse_recipe(values: dict[str, Any], name: str) -> Recipe:
    """Validate nested tables as a recipe; ``name`` is used in messages.

    Raises:
        RecipeError: an unknown key, a missing key, or a value that is not allowed.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"recipe {name}: " + "; ".join(_message(detail) for detail in error.errors())) from None


def override_recipe(
    recipe: Recipe,
    *,
    size: int | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
) -> Recipe:
    """Replace some values of a recipe: the size of images, and the training settings of both networks.

    Raises:
        RecipeError: a value that is not allowed.
    """
    fit_values = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate}
    changed = {key: value for key, value in fit_values.items() if value is not None}
    values = recipe.model_dump(mode="json")
    if size is not None:
        values["input"]["size"] = size
    values["classifier"] |= changed
    values["denoiser"] |= changed
    return parse_recipe(values, recipe.name)


def _message(detail: Any) -> str:  # noqa: ANN401 -- pydantic's ErrorDetails
    key = ".".join(str(part) for part in detail["loc"]) or "values"
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key}; remove it or correct its spelling"
    if detail["type"] == "missing":
        return f"{key} is missing"
    return f"{key} = {detail['input']!r}: {detail['msg']}" if not isinstance(detail["input"], dict) else detail["msg"]
