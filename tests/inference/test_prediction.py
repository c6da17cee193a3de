"""Impossible outputs of hand-written graphs are errors of the image, never verdicts."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console

import clearcast
from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import MANIFEST_FILE, ParityResult, manifest_seal
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import ModelOutputError, OutputError
from clearcast.core.numbers import log_odds
from clearcast.evaluation.evaluate import predict_for_measuring
from clearcast.inference.decision import DecisionRule
from clearcast.inference.drift_statistics import REFERENCE_PERCENTILES, parse_drift_reference
from clearcast.inference.model import OnnxModel
from clearcast.inference.predict import PredictRequest, predict_source
from clearcast.inference.prediction import Prediction
from clearcast.inference.sources import SourceItem
from clearcast.inference.verification import GOLDEN_FILE, verify_bundle
from clearcast.metrics.calibration import fit_logit_temperature
from clearcast.metrics.evidence.scores import DecisionPolicy
from clearcast.metrics.evidence.thresholds import choose_threshold
from clearcast.noise.estimation import to_noise_estimate
from clearcast.noise.registry import NoiseType
from clearcast.pipelines.parity import check_parity
from clearcast.station.service import lazy_bundle
from clearcast.train.linear_probes import most_accurate_threshold
from clearcast.types import Verdict
from tests.inference.handmade import replace_outputs, uniform_image, update_manifest, write_bundle, write_images

SHAPE = (1, 32, 48, 1)
RULES = [None, 1.0]  # the manifest's retake distance


def outputs(**other: object) -> dict[str, NDArray[Any]]:
    """Return valid outputs of a graph for one image, with some replaced; float32 unless they are arrays."""
    valid: dict[str, object] = {"p_noise": [[0.7, 0.1, 0.1, 0.1]], "p_defect": [0.9], "levels": [[0.1, 0.0]]}
    valid |= {"waves": np.zeros((1, 128, 128), np.float32), "evidence": np.zeros((1, 2, 3), np.float32)}
    valid |= {"restored": np.zeros(SHAPE, np.uint8)} | other
    return {
        name: value if isinstance(value, np.ndarray) else np.array(value, np.float32) for name, value in valid.items()
    }


def bundle_with_outputs(folder: Path, *, retake: float | None = None, **other: Any) -> Path:  # noqa: ANN401
    replace_outputs(write_bundle(folder), **outputs(**other))
    if retake is not None:
        change(folder, lambda manifest: manifest["judge"].update(retake_distance=retake))
    return folder


def change(folder: Path, edit: Callable[[Any], object]) -> Path:
    """Edit the manifest and renew its seal, as after an intended change."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    edit(manifest)
    manifest["seal"] = manifest_seal(manifest)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest), "utf-8")
    return folder


IMPOSSIBLE = {
    "nan": {"p_defect": [np.nan]},
    "inf": {"p_defect": [np.inf]},
    "minus inf": {"p_defect": [-np.inf]},
    "negative": {"p_defect": [-0.2]},
    "beyond 1": {"p_defect": [71.25]},
    "a little beyond 1": {"p_defect": [1.00001]},
    "double": {"p_defect": np.array([0.9])},
    "integers": {"p_defect": np.array([1], np.int64)},
    "a column": {"p_defect": [[0.9]]},
    "two for one": {"p_defect": [0.9, 0.9]},
    "none for one": {"p_defect": np.zeros(0, np.float32)},
    "noise nan": {"p_noise": [[np.nan] * 4]},
    "noise partly nan": {"p_noise": [[0.5, 0.5, 0.0, np.nan]]},
    "noise sum": {"p_noise": [[0.5, 0.1, 0.1, 0.1]]},
    "noise all zero": {"p_noise": [[0, 0, 0, 0]]},
    "noise negative": {"p_noise": [[1.5, -0.5, 0, 0]]},
    "noise of three": {"p_noise": [[0.8, 0.1, 0.1]]},
    "levels nan": {"levels": [[np.nan, 0]]},
    "levels beyond 1": {"levels": [[0.1, 3.0]]},
    "waves inf": {"waves": np.full((1, 128, 128), np.inf, np.float32)},
    "waves small": {"waves": np.zeros((1, 64, 64), np.float32)},
    "evidence nan": {"evidence": np.full((1, 2, 3), np.nan, np.float32)},
    "evidence flat": {"evidence": np.zeros((1, 6), np.float32)},
    "evidence empty": {"evidence": np.zeros((1, 0, 3), np.float32)},
    "restored floats": {"restored": np.full(SHAPE, np.nan, np.float32)},
    "restored small": {"restored": np.zeros((1, 32, 32, 1), np.uint8)},
    "everything nan": {
        "p_noise": [[np.nan] * 4],
        "p_defect": [np.nan],
        "levels": [[np.nan] * 2],
        "evidence": np.full((1, 2, 3), np.nan, np.float32),
    },
}


@pytest.mark.parametrize("retake", RULES)
@pytest.mark.parametrize("other", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_output_is_an_error_of_the_image(
    tmp_path: Path, other: dict[str, object], retake: float | None
) -> None:
    write_images(tmp_path / "parts", 2)
    bundle = clearcast.load(bundle_with_outputs(tmp_path / "bundle", retake=retake, **other))

    for inspection in bundle.predict(str(tmp_path / "parts"), restored=True, evidence=True):
        assert (inspection.verdict, inspection.p_defect, inspection.noise_type) == (None, None, None)
        assert inspection.restored is None
        assert "48 x 32 pixels could not be inspected here" in inspection.error
        assert any(f"({name}: expected" in inspection.error for name in other), inspection.error


@pytest.mark.parametrize(("output", "verdict"), [(1.0000001, "defect"), (-1e-7, "ok"), (1.0, "defect"), (0.0, "ok")])
def test_rounding_errors_are_accepted(tmp_path: Path, output: float, verdict: str) -> None:
    write_images(tmp_path / "parts", 1)
    bundle = clearcast.load(bundle_with_outputs(tmp_path / "bundle", p_defect=[output]))

    (inspection,) = bundle.predict(str(tmp_path / "parts"))

    assert (inspection.verdict, inspection.p_defect) == (verdict, round(output))


def test_one_bad_image_rejects_the_batch(tmp_path: Path) -> None:
    arrays = outputs()
    two = {name: np.concatenate([array, array]) for name, array in arrays.items()}
    two["p_defect"][1] = np.nan
    model = OnnxModel(open_package(replace_outputs(write_bundle(tmp_path / "bundle"), **two)))

    with pytest.raises(ModelOutputError, match="p_defect: expected finite numbers, got nan"):
        model.predict_batch(np.zeros((2, *SHAPE[1:]), np.uint8))


def test_nan_from_the_global_graph_is_an_error(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", recipe="glance")
    (bundle / "survey.onnx").rename(bundle / "kept")
    replace_outputs(
        bundle,
        waves=np.full((1, 128, 128), np.nan, np.float32),
        small=np.zeros((1, 128, 128), np.float32),
        p_noise=np.eye(1, 4, dtype=np.float32),
        p_defect=np.zeros(1, np.float32),
    )
    (bundle / "inspect.onnx").rename(bundle / "survey.onnx")
    (bundle / "kept").unlink()
    write_bundle(tmp_path / "other", recipe="glance").joinpath("inspect.onnx").rename(bundle / "inspect.onnx")

    with pytest.raises(ModelOutputError, match="waves: expected finite numbers, got nan"):
        OnnxModel(open_package(update_manifest(bundle))).predict_batch(np.zeros(SHAPE, np.uint8))


@pytest.mark.parametrize("missing", ["p_noise", "p_defect"])
def test_a_graph_that_lacks_an_output_is_rejected(tmp_path: Path, missing: str) -> None:
    arrays = outputs()
    arrays.pop(missing)

    with pytest.raises(OutputError, match=f"does not have the output {missing}"):
        OnnxModel(open_package(replace_outputs(write_bundle(tmp_path / "bundle"), **arrays)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.2, 1.0001, 71.25])
@pytest.mark.parametrize("retake", RULES)
def test_a_decision_rule_rejects_values_that_are_not_probabilities(value: float, retake: float | None) -> None:
    with pytest.raises(ModelOutputError, match="expected a probability from 0 to 1"):
        DecisionRule(threshold=0.5, retake_distance=retake).verdict(value)
    with pytest.raises(ModelOutputError, match="threshold"):
        DecisionRule(threshold=value)


@pytest.mark.parametrize("distance", [math.nan, math.inf, -1.0])
def test_a_decision_rule_requires_a_finite_retake_distance(distance: float) -> None:
    with pytest.raises(ModelOutputError, match="retake distance"):
        DecisionRule(threshold=0.5, retake_distance=distance)


@given(st.floats(0, 1), st.floats(0, 1), st.none() | st.floats(0, 30))
def test_the_verdict_follows_from_threshold_and_retake_distance(
    p_defect: float, threshold: float, distance: float | None
) -> None:
    verdict = DecisionRule(threshold=threshold, retake_distance=distance).verdict(p_defect)

    if verdict is Verdict.RETAKE:
        assert distance
        assert abs(log_odds(p_defect) - log_odds(threshold)) < distance
    else:
        assert (verdict is Verdict.DEFECT) == (p_defect > threshold)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1.5", "-0.1"])
def test_a_manifest_with_an_invalid_threshold_is_rejected(tmp_path: Path, number: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    change(bundle, lambda manifest: manifest.update(threshold=float(number)))
    text = (bundle / MANIFEST_FILE).read_text("utf-8")
    (bundle / MANIFEST_FILE).write_text(text.replace('"threshold": Infinity', f'"threshold": {number}'), "utf-8")

    with pytest.raises(OutputError, match=r"expected finite numbers|has an invalid value for threshold"):
        open_package(bundle)


@pytest.mark.parametrize(
    "settings",
    [{"temperature": math.nan}, {"temperature": 0.0}, {"retake_distance": -1.0}, {"retake_distance": math.nan}],
)
def test_a_manifest_with_invalid_classifier_settings_is_rejected(tmp_path: Path, settings: dict[str, float]) -> None:
    bundle = change(write_bundle(tmp_path / "bundle"), lambda manifest: manifest["judge"].update(settings))

    with pytest.raises(OutputError, match=r"expected finite numbers|has an invalid value for judge"):
        open_package(bundle)


def write_golden(bundle: Path, p_defect: object, p_noise: object) -> Path:
    write_images(bundle / "golden", 1)
    entry = {"file": "golden/0000.png", "p_defect": p_defect, "verdict": "defect", "noise_type": "gaussian"}
    kinds = ("gaussian", "salt_and_pepper", "periodic", "none")
    entry |= {"p_noise": dict.fromkeys(kinds, 0.1) | {"gaussian": p_noise}}
    (bundle / GOLDEN_FILE).write_text(json.dumps([entry]), "utf-8")
    return update_manifest(bundle)


def without_tiles(bundle: Path) -> Path:
    """Remove the graphs for large images."""
    for name in ("survey.onnx", "detail.onnx", "judge.onnx"):
        (bundle / name).unlink()
    return update_manifest(bundle)


def test_verify_accepts_expected_predictions(tmp_path: Path) -> None:
    bundle = without_tiles(write_golden(bundle_with_outputs(tmp_path / "bundle"), 0.9, 0.7))

    assert verify_bundle(bundle).largest_difference < 1e-6


@pytest.mark.parametrize("other", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_verify_rejects_impossible_outputs(tmp_path: Path, other: dict[str, object]) -> None:
    bundle = without_tiles(write_golden(bundle_with_outputs(tmp_path / "bundle", **cast(Any, other)), 0.9, 0.7))

    with pytest.raises(OutputError, match=r"golden/0000\.png cannot be inspected here \(\w+: expected"):
        verify_bundle(bundle)


@pytest.mark.parametrize(("p_defect", "p_noise"), [(math.nan, 0.7), (0.9, math.nan), (71.25, 0.7), (0.9, -0.7)])
def test_impossible_golden_samples_are_rejected(tmp_path: Path, p_defect: float, p_noise: float) -> None:
    bundle = write_golden(bundle_with_outputs(tmp_path / "bundle"), p_defect, p_noise)

    with pytest.raises(OutputError, match=r"golden\.json has no valid golden samples"):
        verify_bundle(bundle)


@dataclass
class ConstantModel:
    """Model that returns the same prediction for every image."""

    prediction: Prediction
    channels: Channels = Channels.GREY

    def predict_batch(self, images: ImageArray) -> list[Prediction]:
        return [replace(self.prediction, denoised=image[..., 0].copy()) for image in images]


@pytest.mark.parametrize("broken", ["p_noise", "p_defect"])
def test_the_parity_check_fails_if_probabilities_are_nan(broken: str) -> None:
    valid = Prediction(
        noise=to_noise_estimate([0.7, 0.1, 0.1, 0.1], [0.0, 0.0], None, 32, 48), p_defect=0.9, log_odds=2.2, defect=True
    )
    nan: dict[str, Any] = {"p_defect": math.nan}
    if broken == "p_noise":
        nan = {"noise": replace(valid.noise, probabilities=dict.fromkeys(NoiseType, math.nan))}
    invalid = replace(valid, **nan)

    def parity(networks: Prediction, graphs: Prediction) -> ParityResult:
        def predict(image: ImageArray) -> Prediction:
            return replace(networks, denoised=image)

        return check_parity(cast(OnnxModel, ConstantModel(graphs)), None, 0.5, predict, [np.zeros((32, 48), np.uint8)])

    assert parity(valid, valid)["flips"] == 0
    with pytest.raises(OutputError, match=r"differs from PyTorch|verdicts flip"):
        parity(valid, invalid)
    for graphs in (valid, invalid):
        with pytest.raises(ModelOutputError, match="PyTorch: expected finite numbers, got nan; no bundle is written"):
            parity(invalid, graphs)


def test_predict_writes_a_row_with_an_error(tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 2)
    bundle = bundle_with_outputs(tmp_path / "bundle", p_defect=[np.nan])
    request = PredictRequest(
        bundle=bundle,
        source=str(tmp_path / "parts"),
        out=tmp_path / "results.csv",
        column="",
        console=Console(quiet=True),
    )

    summary = predict_source(request)

    assert (summary.errors, summary.verdicts) == (2, {})
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["verdict"], row["p_defect"]) for row in rows] == [("", "")] * 2
    assert all("p_defect: expected finite numbers, got nan" in row["error"] for row in rows)


def test_the_station_gives_an_error_for_an_impossible_output(tmp_path: Path) -> None:
    loaded = lazy_bundle.load_inspectors(bundle_with_outputs(tmp_path / "bundle", p_defect=[71.25]), 1)
    item = SourceItem(name="part.png", key="part.png", read=lambda: uniform_image(90, *SHAPE[1:3]))

    inspection = loaded.inspect(item, alone=True, evidence=True)

    assert inspection.verdict is None
    assert "p_defect: expected numbers from 0 to 1, got 71.25" in inspection.error


def test_evaluate_rejects_impossible_outputs(tmp_path: Path) -> None:
    model = OnnxModel(open_package(bundle_with_outputs(tmp_path / "bundle", p_defect=[np.nan])))

    with pytest.raises(OutputError, match=r"part\.png: the bundle's prediction cannot be measured \(p_defect"):
        predict_for_measuring(model, "part.png", np.zeros(SHAPE[1:3], np.uint8))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_calibration_and_thresholds_reject_numbers_that_are_not_finite(number: float) -> None:
    numbers, defect = np.array([0.2, number, 0.9]), np.array([False, True, True])

    with pytest.raises(ModelOutputError):
        fit_logit_temperature(numbers, defect, np.ones(3))
    with pytest.raises(ModelOutputError):
        most_accurate_threshold(numbers, defect)
    with pytest.raises(ModelOutputError):
        choose_threshold(numbers, defect, DecisionPolicy())
    with pytest.raises(ModelOutputError):
        to_noise_estimate([1.0, 0.0, 0.0, number], [0.0, 0.0], None, 32, 48)
    with pytest.raises(ModelOutputError):
        to_noise_estimate([1.0, 0.0, 0.0, 0.0], [number, 0.0], None, 32, 48)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_drift_reference_that_is_not_finite_is_rejected(number: str) -> None:
    spread = ", ".join([number] * len(REFERENCE_PERCENTILES))
    text = f'{{"pictures": "test", "numbers": {{"brightness": {{"count": 9, "quantiles": [{spread}]}}}}, '
    text += '"noise_types": {}, "verdicts": {}}'

    parse_drift_reference(text.replace(number, "1").encode(), "bundle")
    with pytest.raises(OutputError, match="reference"):
        parse_drift_reference(text.encode(), "bundle")
