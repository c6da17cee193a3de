import json
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from clearcast import cli, load
from clearcast.bundle.archive import open_package, zip_bundle
from clearcast.bundle.manifest import MANIFEST_FILE, Manifest, write_manifest
from clearcast.core.errors import OutputError
from clearcast.inference import ray_engine
from clearcast.inference.verification import GOLDEN_FILE, GoldenSample, load_verified_model, verify_bundle
from tests.inference.handmade import update_manifest


def copied(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def change_golden_samples(folder: Path, change: Callable[[GoldenSample], None]) -> Path:
    golden = json.loads((folder / GOLDEN_FILE).read_text("utf-8"))
    for each in golden:
        change(each)
    (folder / GOLDEN_FILE).write_text(json.dumps(golden), "utf-8")
    return update_manifest(folder)


def test_an_unchanged_bundle_is_verified_as_folder_and_as_zip(bundle: Path, tmp_path: Path) -> None:
    zip_bundle(bundle, tmp_path / "bundle.zip")
    for path in (bundle, tmp_path / "bundle.zip"):
        verified = verify_bundle(path)
        assert verified.golden_samples == 4
        assert verified.files == len([path for path in bundle.rglob("*") if path.is_file()]) - 1
        assert verified.largest_difference < 1e-3


@pytest.mark.parametrize("name", ["inspect.onnx", "golden/1.png", "judge.safetensors", "reference.json"])
def test_a_changed_or_truncated_file_is_named(bundle: Path, tmp_path: Path, name: str) -> None:
    folder = copied(bundle, tmp_path)
    data = (folder / name).read_bytes()
    for other in (data[:-1], bytes([data[0] ^ 1]) + data[1:]):
        (folder / name).write_bytes(other)
        with pytest.raises(OutputError, match=f"{name} is not the file that was written"):
            verify_bundle(folder)


@pytest.mark.parametrize("name", ["inspect.onnx", "survey.onnx", "detail.onnx", "judge.onnx"])
def test_a_graph_that_does_not_load_is_rejected_even_with_the_right_hash(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    folder = copied(bundle, tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:5000])
    with pytest.raises(OutputError, match=rf"{name} cannot be loaded"):
        verify_bundle(update_manifest(folder))


def test_an_unexpected_verdict_is_rejected(bundle: Path, tmp_path: Path) -> None:
    def flip(golden: GoldenSample) -> None:
        golden["verdict"] = "ok" if golden["verdict"] == "defect" else "defect"

    with pytest.raises(OutputError, match=r"expected the verdict \w+ for golden/0\.png, got"):
        verify_bundle(change_golden_samples(copied(bundle, tmp_path), flip))


def test_a_borderline_verdict_may_differ(bundle: Path, tmp_path: Path) -> None:
    folder = copied(bundle, tmp_path)
    golden: list[GoldenSample] = json.loads((folder / GOLDEN_FILE).read_text("utf-8"))
    p_defect = golden[0]["p_defect"]
    assert p_defect is not None
    manifest: Manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    for offset, verdict, allowed in ((0.0005, "defect", True), (-0.0005, "ok", True), (0.002, "defect", False)):
        manifest["threshold"] = p_defect + offset  # as it may be chosen after training
        write_manifest(folder, manifest)
        for each in golden:
            assert each["p_defect"] is not None
            each["verdict"] = "defect" if each["p_defect"] > p_defect + offset else "ok"
        golden[0]["verdict"] = verdict
        (folder / GOLDEN_FILE).write_text(json.dumps(golden), "utf-8")
        update_manifest(folder)
        if allowed:
            assert verify_bundle(folder).golden_samples == 4
        else:
            with pytest.raises(OutputError, match=r"expected the verdict defect for golden/0\.png, got ok"):
                verify_bundle(folder)


def test_an_unexpected_probability_is_rejected(bundle: Path, tmp_path: Path) -> None:
    def move(golden: GoldenSample) -> None:
        golden["p_noise"]["gaussian"] += 0.0011

    with pytest.raises(OutputError, match=r"a probability of golden/0\.png differs by 0\.0011"):
        verify_bundle(change_golden_samples(copied(bundle, tmp_path), move))


def test_invalid_golden_samples_are_rejected(bundle: Path, tmp_path: Path) -> None:
    folder = copied(bundle, tmp_path)
    for text in ("{}", "[{}]", "[", "[]"):
        (folder / GOLDEN_FILE).write_text(text)
        with pytest.raises(OutputError, match=r"golden\.json"):
            verify_bundle(update_manifest(folder))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["clearcast", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_the_command_describes_a_bundle_or_its_fault(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not run(monkeypatch, "verify", bundle)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"fingerprint {json.loads((bundle / MANIFEST_FILE).read_text('utf-8'))['fingerprint'][:8]}" in printed
    assert "4 golden samples: the same verdicts" in printed
    folder = copied(bundle, tmp_path)
    (folder / "survey.onnx").unlink()
    assert run(monkeypatch, "verify", folder) == 1
    assert "survey.onnx is missing; copy the bundle again" in capsys.readouterr().err


def make_endless(folder: Path) -> Path:
    """Add an endless loop to the bundle's main graph."""
    model = onnx.load(folder / "inspect.onnx")
    body = helper.make_graph(
        [helper.make_node("Identity", ["condition"], ["next_condition"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", 7), ("condition", 9), ("x", 1))],
        [helper.make_tensor_value_info(name, kind, []) for name, kind in (("next_condition", 9), ("y", 1))],
    )
    graph = model.graph
    graph.initializer.extend([numpy_helper.from_array(np.array(True), "yes")])
    graph.initializer.extend([numpy_helper.from_array(np.zeros((), np.float32), "start")])
    (node,) = [node for node in graph.node if "p_noise" in node.output]
    node.output[list(node.output).index("p_noise")] = "p_noise_before"
    graph.node.extend(
        [
            helper.make_node("Loop", ["", "yes", "start"], ["end"], body=body),
            helper.make_node("Add", ["p_noise_before", "end"], ["p_noise"]),
        ]
    )
    (folder / "inspect.onnx").write_bytes(model.SerializeToString())
    return update_manifest(folder)


@pytest.mark.parametrize(
    "check", [verify_bundle, lambda path, timeout: load_verified_model(open_package(path), timeout=timeout)]
)
def test_a_graph_that_never_finishes_is_terminated(bundle: Path, tmp_path: Path, check: Callable[..., object]) -> None:
    folder = make_endless(copied(bundle, tmp_path))
    with pytest.raises(OutputError, match=r"the graphs did not finish within 0\.5 s; do not use this bundle"):
        check(folder, timeout=0.5)
    for thread in threading.enumerate():
        if thread.name == "deadline":
            thread.join(60)
            assert not thread.is_alive(), "the loop was not ended"


def test_a_bundle_with_other_predictions_is_not_used(bundle: Path, tmp_path: Path) -> None:
    def move(golden: GoldenSample) -> None:
        golden["p_noise"]["gaussian"] += 0.0011

    folder = change_golden_samples(copied(bundle, tmp_path), move)
    with pytest.raises(OutputError, match=r"a probability of golden/0\.png differs by 0\.0011"):
        load_verified_model(open_package(folder))
    with pytest.raises(OutputError, match=r"a probability of golden/0\.png differs"):
        load(folder)


def test_a_bundle_without_golden_samples_is_loaded(bundle: Path, tmp_path: Path) -> None:
    folder = copied(bundle, tmp_path)
    (folder / GOLDEN_FILE).unlink()
    assert "p_noise" in load_verified_model(open_package(update_manifest(folder))).output_names


def test_a_ray_worker_checks_the_golden_sample(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sent_bundle(folder: Path) -> object:
        package = open_package(folder)
        return package.path, package.manifest, ray_engine._required_files(package)

    def move(golden: GoldenSample) -> None:
        golden["p_noise"]["gaussian"] += 0.0011

    monkeypatch.setattr(ray_engine, "import_module", lambda _: SimpleNamespace(get=lambda reference: reference))
    monkeypatch.chdir(tmp_path)
    ray_engine.RayWorker(sent_bundle(bundle), tmp_path)
    folder = change_golden_samples(copied(bundle, tmp_path), move)
    with pytest.raises(OutputError, match=r"a probability of golden/0\.png differs by 0\.0011"):
        ray_engine.RayWorker(sent_bundle(folder), tmp_path)
    (folder / GOLDEN_FILE).unlink()
    ray_engine.RayWorker(sent_bundle(update_manifest(folder)), tmp_path)  # as of versions without golden samples
