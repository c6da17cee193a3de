"""MLflow tracking: logging to a folder, and errors without a server."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from clearcast.core.errors import MissingDependencyError, OutputError
from clearcast.train.callbacks import MlflowTracker


def test_settings_curves_and_test_metrics_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    tracker = MlflowTracker(uri, {"seed": 7, "recipe": {"input": {"size": 64}}})
    tracker.logger("Stage 2").log_metrics({"train_loss": 0.5}, step=1)
    tracker.finish({"accuracy": 0.75})
    client = MlflowClient(tracking_uri=uri)
    (experiment,) = client.search_experiments(filter_string="name = 'clearcast'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "Stage 2"
    assert run.data.params == {"seed": "7", "recipe/input/size": "64"}
    assert run.data.metrics == {"train_loss": 0.5, "test_accuracy": 0.75}


def test_a_server_that_does_not_respond_is_an_error() -> None:
    with pytest.raises(OutputError, match=r"no MLflow server responds at http://127.0.0.1:9 .*; start it"):
        MlflowTracker("http://127.0.0.1:9", {})


def test_an_unusable_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="MLflow cannot use nonsense://"):
        MlflowTracker(f"nonsense://{tmp_path}", {})
