"""Log a run to MLflow, where it is asked for: one MLflow run a network, with its settings, curves and test figures."""

from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from lightning.pytorch.loggers import MLFlowLogger

from clearcast.errors import MissingDependencyError, OutputError

_EXPERIMENT = "clearcast"
_ANSWER_WITHIN = 5.0  # seconds; MLflow itself would try for minutes


class Tracker:
    """Gives Lightning a logger for each network.

    Args:
        uri: an MLflow tracking URI: of a server, or of a local store.
        settings: what is logged with every network; nested tables become dotted names.

    Raises:
        MissingDependencyError: MLflow is not installed, or cannot use this kind of store.
        OutputError: the server does not answer.
    """

    def __init__(self, uri: str, settings: Mapping[str, object]) -> None:
        self._uri = uri
        self._settings = dict(settings)
        self._last: MLFlowLogger | None = None
        _require_answer(uri)
        _require_store(uri)

    def logger(self, title: str) -> MLFlowLogger:
        """A logger for one network, as a new MLflow run of this title."""
        self._last = MLFlowLogger(experiment_name=_EXPERIMENT, run_name=title, tracking_uri=self._uri)
        self._last.log_hyperparams(self._settings)
        return self._last

    def finish(self, figures: Mapping[str, float]) -> None:
        """Add the test figures of the network that was fitted last, if it was fitted just now."""
        if self._last is not None:
            self._last.log_metrics({f"test_{name}": value for name, value in figures.items()})
        self._last = None


def _require_answer(uri: str) -> None:
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urlopen(uri, timeout=_ANSWER_WITHIN).close()
    except HTTPError:
        return  # it answers, if only to say that it wants a password
    except (URLError, OSError, ValueError) as error:
        raise OutputError(f"no MLflow server answers at {uri} ({error}); start it, or leave out --mlflow") from None


def _require_store(uri: str) -> None:
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "--mlflow needs the package mlflow-skinny, or mlflow for local stores; install it with: "
            "pip install 'clearcast[mlflow]'"
        ) from None
    try:
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    except (MlflowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise MissingDependencyError(
            f"MLflow cannot use {uri} ({reason}); give the address of a server such as http://localhost:5000, or "
            "install the whole of MLflow (pip install mlflow) for local stores such as sqlite:///mlflow.db"
        ) from None
