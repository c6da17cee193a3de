"""Export of a study's run: the graph computes what the networks compute, and the bundle inspects."""

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from clearcast import load
from clearcast.core.errors import OutputError
from clearcast.core.files import find_image_files
from clearcast.data.sheet import read_sheet
from clearcast.inference.verification import verify_bundle
from clearcast.nn.published import Activation, PublishedClassifier, PublishedDenoiser
from clearcast.noise.registry import NoiseType
from clearcast.pipelines.export import SheetLocation, export_bundle
from clearcast.pipelines.published_bundle import PublishedGraph, PublishedNetworks, predict_published
from clearcast.study import StudyRequest, parse_stages, run_study, write_evidence
from clearcast.train.recipe import load_recipe, override_recipe
from clearcast.types import Verdict

SIZE = 32
CLASSES = (NoiseType.PERIODIC, NoiseType.GAUSSIAN)


@pytest.fixture(scope="module")
def networks() -> PublishedNetworks:
    torch.manual_seed(0)
    recipe = override_recipe(load_recipe("report"), size=SIZE)
    depth = recipe.input.channels.depth
    noise, verdict = (
        PublishedClassifier(size=SIZE, channels=depth, classes=2, activation=Activation.RELU).eval() for _ in range(2)
    )
    denoiser = PublishedDenoiser(channels=depth).eval()
    return PublishedNetworks(recipe=recipe, classes=CLASSES, noise=noise, denoiser=denoiser, verdict=verdict)


@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (16, 16), (50, 77), (20, 90), (90, 20), (128, 33), (31, 100)])
def test_the_graph_predicts_as_the_study_at_any_size(networks: PublishedNetworks, shape: tuple[int, int]) -> None:
    depth = networks.recipe.input.channels.depth
    image = np.random.default_rng(1).integers(0, 256, (*shape, depth), dtype=np.uint8)
    with torch.inference_mode():
        p_noise, denoised, p_defect = PublishedGraph(networks)(torch.from_numpy(image)[None])
    expected = predict_published(networks, image if depth == 3 else image[..., 0])
    np.testing.assert_allclose(p_noise[0], list(expected.noise.probabilities.values()), atol=1e-4)
    assert p_noise[0, [list(NoiseType).index(kind) for kind in NoiseType if kind not in CLASSES]].tolist() == [0, 0]
    assert float(p_defect[0]) == pytest.approx(expected.p_defect, abs=1e-4)
    assert expected.denoised is not None
    difference = np.abs(denoised[0].numpy().astype(int) - expected.denoised.reshape(denoised[0].shape))
    assert difference.max() <= 1


def test_a_run_is_exported_as_a_bundle(noisy_folder: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "bundle"
    request = StudyRequest(
        sheet=read_sheet(noisy_folder / "Labels.xlsx"),
        recipe=override_recipe(load_recipe("report"), size=SIZE, epochs=1),
        out=run,
        seed=5,
        stages=parse_stages("2"),
        accelerator="cpu",
        offline=True,
        console=Console(file=StringIO()),
    )
    run_study(request)
    with pytest.raises(OutputError, match="the study has not finished"):
        export_bundle(run, out)
    run_study(replace(request, stages=parse_stages("0,1,2,3,4"), resume=True))
    with pytest.raises(OutputError, match=r"has no evidence\.json"):
        export_bundle(run, out)
    assert not out.exists()
    write_evidence(run, {}, request.console)
    (tmp_path / "other.csv").write_text("Noisy Image,Noise Type,Denoise Image\na_OK.png,none,b_OK.png\n")
    with pytest.raises(OutputError, match="is not the sheet that"):
        export_bundle(run, out, location=SheetLocation(sheet=tmp_path / "other.csv"))
    with pytest.raises(OutputError, match=r"its sheet is not at .*nowhere.*; give its new path with --sheet"):
        export_bundle(run, out, location=SheetLocation(sheet=Path("/nowhere/Labels.xlsx")))
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))
    moved = shutil.copy(noisy_folder / "Labels.xlsx", tmp_path)
    export_bundle(run, out, location=SheetLocation(sheet=Path(moved), root=noisy_folder))
    found = verify_bundle(out)
    assert found.golden_samples == 4
    assert found.manifest["parity"]["pictures"] > 8
    reference = json.loads((out / "reference.json").read_text())
    assert reference["pictures"] == "test"
    assert reference["numbers"]["p_defect"]["count"] > 4
    assert sum(reference["noise_types"].values()) == pytest.approx(1)
    assert sum(reference["verdicts"].values()) == pytest.approx(1)
    for stage in ("noise_type", "denoising", "denoised"):
        weights = (run / stage / "model.safetensors").read_bytes()
        assert (out / f"{stage}.safetensors").read_bytes() == weights
    inspections = list(load(out, threads=1).predict(noisy_folder / "With-Noise"))
    assert len(inspections) == len(find_image_files(noisy_folder / "With-Noise"))
    assert {each.verdict for each in inspections} <= {Verdict.OK, Verdict.DEFECT}
    assert {each.error for each in inspections} == {""}
