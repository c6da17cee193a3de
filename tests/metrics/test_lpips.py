"""LPIPS against torchmetrics' own network, with a backbone of random weights; and messages without a backbone."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchmetrics.functional.image import lpips as reference

from clearcast.core.errors import MissingDependencyError
from clearcast.metrics import lpips
from clearcast.metrics.lpips import LPIPS_BACKBONE_FILE, load_lpips


def alexnet_features() -> nn.Sequential:
    """The layers of torchvision's AlexNet before its classifier, as its documentation lists them."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def features() -> nn.Sequential:
    torch.manual_seed(0)
    return alexnet_features()


@pytest.fixture(scope="module")
def backbone(features: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's: the features, and the classifier's weights that are not needed."""
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    weights = {f"features.{name}": value for name, value in features.state_dict().items()}
    torch.save(weights | {"classifier.1.weight": torch.zeros(2, 2)}, path)
    return path


def test_equals_torchmetrics(backbone: Path, features: nn.Sequential, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_, **__: features)
    theirs = reference._LPIPS(pretrained=False, net="alex")
    heads = Path(reference.__file__).parent / "lpips_models/alex.pth"
    theirs.load_state_dict(torch.load(heads, map_location="cpu", weights_only=True), strict=False)
    x, y = torch.rand(2, 3, 3, 96, 80)
    with torch.no_grad():
        expected = theirs(x, y, normalize=True).flatten()
    torch.testing.assert_close(load_lpips(backbone).metric(x, y), expected, atol=1e-6, rtol=1e-5)


def test_identical_images_have_no_distance(backbone: Path) -> None:
    x = torch.rand(2, 3, 64, 64)
    assert load_lpips(backbone).metric(x, x).tolist() == [0, 0]


def test_another_backbone_is_used_with_a_note(backbone: Path) -> None:
    note = load_lpips(backbone).note
    assert note is not None
    assert "not the published AlexNet" in note


def test_the_cache_must_hold_the_published_file(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub/checkpoints" / LPIPS_BACKBONE_FILE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(backbone.read_bytes())
    with pytest.raises(MissingDependencyError, match="SHA-256 does not begin with 7be5be79"):
        load_lpips()
    monkeypatch.setattr(lpips, "LPIPS_BACKBONE_SHA256", "")  # as if these were the published weights
    assert load_lpips().note is None


def test_a_failed_download_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(MissingDependencyError, match=r"no route.*fetch https://.*--lpips-backbone"):
        load_lpips()


def test_nothing_is_downloaded_if_it_is_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delattr(torch.hub, "download_url_to_file")
    with pytest.raises(MissingDependencyError, match="downloads are not allowed"):
        load_lpips(download=False)


@pytest.mark.parametrize(("content", "message"), [(b"no weights", "cannot be read as weights"), (None, "no such file")])
def test_a_bad_file_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingDependencyError, match=message):
        load_lpips(path)


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "touched",)  # type: ignore[return-value]

    path = tmp_path / "hostile.pth"
    torch.save({"features.0.weight": Hostile()}, path)
    with pytest.raises(MissingDependencyError, match="cannot be read as weights"):
        load_lpips(path)
    assert not (tmp_path / "touched").exists()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(3)}, path)
    with pytest.raises(MissingDependencyError, match="does not hold AlexNet's weights"):
        load_lpips(path)
