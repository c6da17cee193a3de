"""MLflow tracking: one MLflow run a network, with its settings, training curves and test metrics."""

from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from lightning.pytorch.loggers import MLFlowLogger

from clearcast.errors import MissingDependencyError, OutputError

_EXPERIMENT = "clearcast"
_TIMEOUT = 5.0  # seconds; MLflow itself would retry for minutes


class Tracker:
    """Factory of Lightning loggers that write to MLflow, one for each network.

    Args:
        uri: an MLflow tracking URI of a server or a local store.
        settings: logged with every network; nested tables become dotted names.

    Raises:
        MissingDependencyError: MLflow is not installed, or cannot use this kind of store.
        OutputError: the server does not respond.
    """

    def __init__(self, uri: str, settings: Mapping[str, object]) -> None:
        self._uri = uri
        self._settings = dict(settings)
        self._last: MLFlowLogger | None = None
        _require_server(uri)
        _require_store(uri)

    def logger(self, title: str) -> MLFlowLogger:
        """Make a logger for one network, a new MLflow run of this title."""
        self._last = MLFlowLogger(experiment_name=_EXPERIMENT, run_name=title, tracking_uri=self._uri)
        self._last.log_hyperparams(self._settings)
        return self._last

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Log the test metrics of the last network, unless its weights were only loaded."""
        if self._last is not None:
            self._last.log_metrics({f"test_{name}": value for name, value in metrics.items()})
        self._last = None


def _require_server(uri: str) -> None:
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urlopen(uri, timeout=_TIMEOUT).close()
    except HTTPError:
        return  # it responds, if only to require a password
    except (URLError, OSError, ValueError) as error:
        raise OutputError(f"no MLflow server responds at {uri} ({error}); start it, or leave out --mlflow") from None


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
            "install all of MLflow (pip install mlflow) for local stores such as sqlite:///mlflow.db"
        ) from None
