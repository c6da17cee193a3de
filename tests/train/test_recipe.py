"""Recipes are strict, and the built-in ones hold the published settings."""

from pathlib import Path
from typing import Any

import pytest

from clearcast.core.errors import RecipeError
from clearcast.train.recipe import LossInput, list_builtin_recipes, load_recipe, override_recipe, parse_recipe

REPORT = load_recipe("report")


def changed(**tables: dict[str, Any]) -> dict[str, Any]:
    values = REPORT.model_dump(mode="json")
    for table, entries in tables.items():
        values[table] |= entries
    return values


def test_report_holds_the_published_settings() -> None:
    assert (REPORT.classifier.learning_rate, REPORT.classifier.batch, REPORT.classifier.epochs) == (1e-4, 5, 100)
    assert (REPORT.denoiser.learning_rate, REPORT.denoiser.batch, REPORT.denoiser.epochs) == (1e-4, 5, 30)
    assert (REPORT.input.size, REPORT.split.test_share, REPORT.split.validation_share) == (256, 0.2, None)


def test_literal_recipe_differs_only_in_activation_and_loss() -> None:
    literal = load_recipe("report-literal")
    assert literal.classifier.activation == "none"
    assert literal.classifier.loss_on is LossInput.PROBABILITIES
    as_report = {"activation": "relu", "loss_on": "logits"}
    values = literal.model_dump(mode="json")
    assert values | {"name": "report", "classifier": values["classifier"] | as_report} == REPORT.model_dump(mode="json")


def test_builtin_recipes_are_found_by_name() -> None:
    assert list_builtin_recipes() == ["report", "report-literal"]
    with pytest.raises(RecipeError, match="unknown recipe 'raport'; expected report, report-literal, or the path of a"):
        load_recipe("raport")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(classifier={"epoch": 3}), "recipe mine: unknown key classifier.epoch; remove it or correct"),
        (changed(input={"size": 100}), "recipe mine: input.size = 100: Input should be a multiple of 8"),
        (
            changed(classifier={"learning_rate": 0}),
            "recipe mine: classifier.learning_rate = 0: Input should be greater",
        ),
        (
            changed(classifier={"activation": "gelu"}),
            "recipe mine: classifier.activation = 'gelu': Input should be 'relu'",
        ),
        (
            changed(denoiser={"patience": 3}, split={"validation_share": 0}),
            "recipe mine: .*patience needs validation rows",
        ),
        (
            {"name": "mine"},
            "recipe mine: input is missing; split is missing; classifier is missing; denoiser is missing",
        ),
    ],
)
def test_invalid_values_are_reported(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(values, "mine")


def test_user_recipe_is_read_from_a_file(tmp_path: Path) -> None:
    text = Path(__file__).parents[2] / "src/clearcast/train/recipes/report.toml"
    own = tmp_path / "own.toml"
    own.write_text(text.read_text().replace('name = "report"', 'name = "own"').replace("epochs = 30", "epochs = 2"))
    assert load_recipe(str(own)).denoiser.epochs == 2
    own.write_text("name = ")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_recipe(str(own))


def test_override_replaces_only_given_values() -> None:
    quick = override_recipe(REPORT, size=64, epochs=2)
    assert (quick.input.size, quick.classifier.epochs, quick.denoiser.epochs, quick.classifier.batch) == (64, 2, 2, 5)
    assert override_recipe(REPORT) == REPORT
    with pytest.raises(RecipeError, match="multiple of 8"):
        override_recipe(REPORT, size=65)
