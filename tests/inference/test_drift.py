import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from clearcast.bundle.manifest import MANIFEST_FILE, parse_manifest, write_manifest
from clearcast.cli import build_application
from clearcast.inference.drift import DriftDetector
from clearcast.inference.drift_statistics import (
    REFERENCE_FILE,
    REFERENCE_PERCENTILES,
    Distribution,
    DriftReference,
    arcsine_interval,
    detect_shift,
    has_share_shifted,
)
from clearcast.noise.registry import NoiseType
from clearcast.types import ImageStats, Inspection, Verdict
from tests.inference.handmade import write_bundle, write_images

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

NOISE_TYPES = tuple(NoiseType)
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, count: rng.normal(97, 8, count),
    "skewed": lambda rng, count: rng.lognormal(4, 1, count),
    "bimodal": lambda rng, count: np.where(rng.random(count) < 0.4, rng.beta(1, 20, count), rng.beta(20, 1, count)),
    "mostly zero": lambda rng, count: np.where(rng.random(count) < 0.7, 0.0, rng.uniform(0.02, 0.2, count)),
    "integers": lambda rng, count: rng.poisson(2, count).astype(float),
}


def spread(values: Floats) -> Distribution:
    return {"count": len(values), "quantiles": np.percentile(values, REFERENCE_PERCENTILES).round(6).tolist()}


def inspection(
    *,
    brightness: float = 97.0,
    sharpness: float = 100.0,
    sigma: float = 0.1,
    density: float = 0.05,
    p_defect: float = 0.1,
    noise_type: NoiseType = NoiseType.GAUSSIAN,
) -> Inspection:
    return Inspection(
        path="a.png",
        sha256=None,
        verdict=Verdict.DEFECT if p_defect > 0.5 else Verdict.OK,
        p_defect=p_defect,
        threshold=0.5,
        noise_type=noise_type,
        noise_level="",
        p_noise=1.0,
        ms=1.0,
        model="m",
        error="",
        looks=ImageStats(brightness=brightness, sharpness=sharpness, sigma=sigma, density=density),
    )


def production_run(rng: np.random.Generator, count: int, **changed: float) -> list[Inspection]:
    """Make the inspections of a run, in which some metrics are shifted by that many standard deviations."""
    kinds = rng.choice(len(NOISE_TYPES), count, p=[0.3, 0.3, 0.2, 0.2])
    moved = {name: changed.get(name, 0.0) for name in ("brightness", "sharpness", "sigma", "density")}
    return [
        inspection(
            brightness=97 + 8 * (rng.normal() + moved["brightness"]),
            sharpness=float(np.exp(5 + 0.5 * (rng.normal() + moved["sharpness"]))),
            sigma=0.1 + 0.02 * (rng.normal() + moved["sigma"]),
            density=0.05 + 0.01 * (rng.normal() + moved["density"]),
            p_defect=float(rng.beta(0.3, 0.5)),
            noise_type=NOISE_TYPES[kind],
        )
        for kind in kinds
    ]


def reference_of(inspections: list[Inspection]) -> DriftReference:
    statistics = [each.looks for each in inspections if each.looks]
    numbers = {name: [getattr(each, name) for each in statistics] for name in ("brightness", "sharpness")}
    of_type = {"sigma": NoiseType.GAUSSIAN, "density": NoiseType.SALT_AND_PEPPER}
    for name, kind in of_type.items():
        numbers[name] = [getattr(each.looks, name) for each in inspections if each.noise_type is kind]
    numbers["p_defect"] = [each.p_defect for each in inspections]
    return {
        "pictures": "test",
        "numbers": {name: spread(np.array(values, float)) for name, values in numbers.items()},
        "noise_types": {
            kind.value: sum(each.noise_type is kind for each in inspections) / len(inspections) for kind in NOISE_TYPES
        },
        "verdicts": {
            verdict.value: sum(each.verdict is verdict for each in inspections) / len(inspections)
            for verdict in (Verdict.OK, Verdict.DEFECT)
        },
    }


def drift_sentences(reference: DriftReference, inspections: list[Inspection]) -> list[str]:
    drift = DriftDetector(reference)
    for each in inspections:
        drift.add(each)
    return drift.sentences()


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
@pytest.mark.parametrize("count", [20, 1000])
@pytest.mark.parametrize("reference_size", [60, 250])
def test_no_shift_is_reported_for_the_same_distribution(draw: Draw, count: int, reference_size: int) -> None:
    rng = np.random.default_rng(count + reference_size)

    false_alerts = sum(
        detect_shift(draw(rng, count), spread(draw(rng, reference_size)), 1e-6) is not None for _ in range(300)
    )

    assert false_alerts <= 3  # 0.2 % are allowed: 0.6 expected


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.5, 0.97])
@pytest.mark.parametrize("count", [20, 200, 5000])
@pytest.mark.parametrize("reference_size", [60, 250])
def test_no_shift_is_reported_for_an_unchanged_share(share: float, count: int, reference_size: int) -> None:
    rng = np.random.default_rng(7)
    draws = zip(
        rng.binomial(count, share, 4_000), rng.binomial(reference_size, share, 4_000) / reference_size, strict=True
    )

    false_alerts = sum(has_share_shifted(int(drawn), count, float(known), reference_size) for drawn, known in draws)

    assert false_alerts <= 8


@pytest.mark.parametrize(("count", "runs"), [(20, 200), (100, 100), (5000, 4)])
def test_no_drift_is_reported_for_a_run_of_the_same_line(count: int, runs: int) -> None:
    rng = np.random.default_rng(count)
    known = [reference_of(production_run(rng, 250)) for _ in range(10)]

    false_alerts = [
        sentences for run in range(runs) if (sentences := drift_sentences(known[run % 10], production_run(rng, count)))
    ]

    assert len(false_alerts) <= runs // 100 + 1, false_alerts


@pytest.mark.parametrize("name", ["brightness", "sharpness"])
@pytest.mark.parametrize("spreads", [-1.0, 1.0])
def test_a_shift_of_one_spread_is_reported_from_50_images_on(name: str, spreads: float) -> None:
    rng = np.random.default_rng(1)
    known = reference_of(production_run(rng, 250))

    reports = [drift_sentences(known, production_run(rng, 50, **{name: spreads})) for _ in range(50)]

    assert sum(any(each.lower().startswith(name) for each in sentences) for sentences in reports) >= 45
    assert all(len(sentences) <= 2 for sentences in reports[:20])  # no other change is reported; the closing sentence


def test_a_small_shift_is_never_reported_however_many_images() -> None:
    rng = np.random.default_rng(2)

    assert not drift_sentences(reference_of(production_run(rng, 500)), production_run(rng, 5_000, brightness=0.25))


def test_a_noise_level_counts_only_for_images_of_that_type() -> None:
    rng = np.random.default_rng(3)
    sentences = drift_sentences(reference_of(production_run(rng, 500)), production_run(rng, 500, sigma=2.0))

    assert len(sentences) == 2
    assert sentences[0].startswith("Gaussian noise: 36 instead of 26 grey levels") or "Gaussian noise" in sentences[0]


def test_no_drift_is_reported_for_few_images() -> None:
    known = reference_of(production_run(np.random.default_rng(4), 250))

    assert not drift_sentences(known, [inspection(brightness=250.0)] * 19)
    assert drift_sentences(known, [inspection(brightness=250.0)] * 20)


def test_the_drift_report_in_full() -> None:
    numbers = np.arange(101.0)  # every percentile is known
    known: DriftReference = {
        "pictures": "test",
        "numbers": {"brightness": spread(numbers + 50), "p_defect": spread(numbers / 1000)},
        "noise_types": {"gaussian": 0.5, "periodic": 0.5},
        "verdicts": {"ok": 1.0, "defect": 0.0},
    }
    inspections = [
        inspection(brightness=120.0 + number, p_defect=0.9 if number < 25 else 0.05) for number in range(100)
    ]

    assert drift_sentences(known, inspections) == [
        "Brightness: 170 instead of 100 grey levels in the middle; 74% of the images are brighter than 95% of those "
        "that the model was measured on; check the lamp and the camera's exposure.",
        "Noise types: 100% (97% to 100%) gaussian instead of 50%, 0% (0% to 3%) periodic instead of 50%; check what "
        "disturbs the camera, unless you selected such images.",
        "Verdicts: 25% (17% to 34%) defect instead of 0% of those that the model was measured on; inspect some "
        "of these parts by eye, unless you expected that.",
        "So the figures that were measured for the bundle may not hold for these images. Check some of them by eye; if "
        "the change is permanent, train with such images.",
    ]


def test_more_retakes_are_reported() -> None:
    known: DriftReference = {
        "pictures": "test",
        "numbers": {"brightness": spread(np.full(500, 97.0))},
        "noise_types": {"gaussian": 1.0},
        "verdicts": {"ok": 0.75, "defect": 0.2, "retake": 0.05},
    }
    kinds = [Verdict.DEFECT] * 20 + [Verdict.RETAKE] * 30 + [Verdict.OK] * 50
    inspections = [replace(inspection(), verdict=kind) for kind in kinds]

    (sentence, _) = drift_sentences(known, inspections)

    assert sentence == (
        "Verdicts: 30% (22% to 39%) retake instead of 5% of those that the model was measured on; inspect some "
        "of these parts by eye, unless you expected that."
    )
    assert not drift_sentences({**known, "verdicts": {"ok": 0.5, "defect": 0.2, "retake": 0.3}}, inspections)


def test_a_larger_variance_is_reported_without_a_direction() -> None:
    known: DriftReference = {
        "pictures": "train",
        "numbers": {"brightness": spread(np.linspace(95, 105, 101))},
        "noise_types": {"gaussian": 1.0},
        "verdicts": {},
    }

    sentences = drift_sentences(known, [inspection(brightness=each) for each in np.linspace(60, 140, 200)])

    assert "the middle half lies from 80 to 120, not from 98 to 102 grey levels" in sentences[0]


def test_the_sample_is_bounded_and_uniform() -> None:
    known = reference_of(production_run(np.random.default_rng(5), 250))
    drift = DriftDetector(known)
    for number in range(10_000):
        drift.add(inspection(brightness=97.0 if number < 3000 else 200.0))

    assert {len(values) for values in drift._samples.values()} <= {0, 1000}
    assert "% of the images are brighter" in drift.sentences()[0]
    share = float(drift.sentences()[0].split("middle; ")[1].split("%")[0])
    assert share == pytest.approx(70, abs=5)


def test_images_with_errors_are_not_counted() -> None:
    bad = Inspection(
        path="b.png",
        sha256=None,
        verdict=None,
        p_defect=None,
        threshold=0.5,
        noise_type=None,
        noise_level="",
        p_noise=None,
        ms=None,
        model="m",
        error="b.png: damaged",
    )

    assert not drift_sentences(reference_of(production_run(np.random.default_rng(6), 250)), [bad] * 100)


def test_the_interval_of_a_share_has_its_coverage() -> None:
    rng = np.random.default_rng(8)
    for share in (0.1, 0.5, 0.9):
        bounds = [arcsine_interval(drawn / 200, 200) for drawn in rng.binomial(200, share, 2000)]
        assert np.mean([low <= share <= high for low, high in bounds]) == pytest.approx(0.95, abs=0.02)


def test_a_reference_of_few_parts_is_less_certain() -> None:
    rng = np.random.default_rng(9)
    parts = np.repeat(rng.normal(97, 8, (300, 12)), 10, axis=1)  # ten images of each part
    runs = rng.normal(97, 8, (300, 200))

    false_alerts = {
        reference_parts: sum(
            detect_shift(run, spread(known), 1.0, reference_parts) is not None
            for run, known in zip(runs, parts, strict=True)
        )
        for reference_parts in (None, 12)
    }

    assert false_alerts[12] <= 3
    assert false_alerts[None] > 20


def test_certainty_depends_on_parts_except_for_noise() -> None:
    rng = np.random.default_rng(10)
    known = reference_of(production_run(rng, 250))
    sharpness = np.exp(rng.normal(5, 0.5, 30))
    changed = [
        inspection(brightness=107.0, sharpness=each, p_defect=0.9, noise_type=NoiseType.PERIODIC) for each in sharpness
    ]

    all_parts, few_parts = drift_sentences(known, changed), drift_sentences({**known, "parts": 3}, changed)

    assert [each.split(":")[0] for each in all_parts[:-1]] == ["Brightness", "Noise types", "Verdicts"]
    assert [each.split(":")[0] for each in few_parts[:-1]] == ["Noise types"]


def test_predict_reports_brighter_images_and_nothing_else(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    brightness = [image.mean() for image in write_images(tmp_path / "parts", 24).values()]
    for warned, moved in ((False, 0.0), (True, -150.0)):
        numbers = {"brightness": spread(np.repeat(brightness, 10) + moved)}
        known = {"pictures": "test", "numbers": numbers, "noise_types": {"periodic": 1.0}, "verdicts": {}}
        (bundle / REFERENCE_FILE).write_text(json.dumps(known), encoding="utf-8")
        write_manifest(bundle, parse_manifest((bundle / MANIFEST_FILE).read_bytes(), str(bundle)))

        arguments = ["predict", str(bundle), str(tmp_path / "parts"), "--out", str(tmp_path / f"{warned}.csv")]
        done = CliRunner().invoke(build_application(["predict"]), arguments)

        assert done.exit_code == 0, done.output
        assert ("Warning: Brightness: " in done.output) is warned
