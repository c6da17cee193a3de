"""Ray engine: inspects images on many machines with Ray Data, one actor with the model per core.

A prediction depends only on the bundle and the image. So Ray may kill actors and repeat their images on others, and the
rows are the same as on one machine, in another order.
"""

import logging
import os
import pickle
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from clearcast.domain import Inspection
from clearcast.errors import MissingDependencyError
from clearcast.runtime.engine import cores
from clearcast.runtime.golden import GOLDEN, read_golden
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.package import Package
from clearcast.runtime.reference import REFERENCE
from clearcast.runtime.sources import Item, SourceError
from clearcast.runtime.verifying import load_model

_BLOCK = 64  # images per call of an actor; if it dies, as many are inspected again
_ROUND = 300  # blocks per actor; between rounds actors are restarted, and only the names of one round are in memory
_PICKLED = "pickled"  # the only column of all tables
_BLOCK_BYTES = 1 << 20  # maximum size of a block of rows; with Ray's 128 MB, actors would wait for memory
_STORE_BYTES = 256 << 20  # shared memory on this machine; rows and names need little


class Column(Protocol):
    """Interface of a column of a pyarrow table, which has no types."""

    def to_pylist(self) -> list[bytes]:
        """Convert to a list of values."""


Table = dict[str, Column]  # interface of a pyarrow table, as far as it is used here


def inspect_on_ray(package: Package, items: Iterable[Item], *, workers: int | None) -> Generator[Inspection]:
    """Inspect images on the Ray cluster at RAY_ADDRESS; if it is not set, on the cores of this machine.

    All machines need this version of Clearcast and the images at the same paths; the bundle is sent to them. An invalid
    image is an inspection with an error. Ray's usage statistics and its dashboard stay off.

    Args:
        package: a bundle whose files have been verified.
        items: images in files; not those of a zip, a video or a camera, which only one process can read.
        workers: number of actors, one core each; None: as many as there are cores.

    Yields:
        The inspections, without images, in any order.

    Raises:
        MissingDependencyError: Ray is not installed.
        SourceError: an item can only be read by this process.
    """
    with _cluster(workers) as ray:
        bundle = ray.put((package.path, package.manifest, _files(package)))
        actors = workers or int(ray.cluster_resources()["CPU"])
        remaining = iter(items)
        blocks = iter(lambda: list(islice(remaining, _BLOCK)), [])
        while packed := [_packed(block) for block in islice(blocks, _ROUND * actors)]:
            yield from _run_round(packed, bundle, actors)


class Worker:
    """Ray actor that loads and verifies a bundle once, and inspects lists of items.

    Args:
        bundle: Ray reference to the path, the manifest and the files of a bundle.
        folder: working directory for relative paths, if this machine has it.
    """

    def __init__(self, bundle: object, folder: Path) -> None:
        with suppress(OSError):
            os.chdir(folder)
        path, manifest, files = import_module("ray").get(bundle)
        package = Package(path=path, manifest=manifest, unchecked=files.__getitem__)
        self._inspector = Inspector(package, load_model(package))

    def __call__(self, table: Table) -> Table:
        """Map a pyarrow table of pickled lists of items to one of pickled lists of inspections."""
        lists = (pickle.loads(pickled) for pickled in table[_PICKLED].to_pylist())
        return _table([pickle.dumps([self._inspector.inspect(item) for item in found]) for found in lists])


def _files(package: Package) -> dict[str, bytes]:
    """The files of a bundle that inspecting needs, with the first golden sample."""
    names = {name for name in package.names() if name.endswith(".onnx") or name == REFERENCE}
    if GOLDEN in package.names():
        names |= {GOLDEN, read_golden(package)[0]["file"]}
    return {name: package.read(name) for name in sorted(names)}


def _run_round(packed: list[bytes], bundle: object, actors: int) -> Iterator[Inspection]:
    data = import_module("ray.data")
    rows = [{_PICKLED: block} for block in packed]
    # Not from tables: Ray would inspect these first in separate processes, which takes seconds.
    inspected = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Worker,
        fn_constructor_args=(bundle, Path.cwd()),
        compute=data.ActorPoolStrategy(size=min(actors, len(rows))),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
    )
    for table in inspected.iter_batches(batch_size=None, batch_format="pyarrow"):
        for pickled in table[_PICKLED].to_pylist():
            yield from pickle.loads(pickled)


def _packed(items: list[Item]) -> bytes:
    """Pickle items for the actors."""
    try:
        return pickle.dumps(items)
    except (TypeError, AttributeError, pickle.PicklingError):
        raise SourceError(
            f"{items[0].name}: expected images in files, got one that only this process can read; unpack them, or "
            "leave out --engine ray"
        ) from None


def _table(pickled: list[bytes]) -> Table:
    arrow = import_module("pyarrow")
    table: Table = arrow.table({_PICKLED: arrow.array(pickled, arrow.binary())})
    return table


@contextmanager
def _cluster(workers: int | None) -> Iterator[ModuleType]:
    """Connect to a Ray cluster, and disconnect at the end."""
    if find_spec("ray") is None:
        raise MissingDependencyError(
            "--engine ray needs the package ray, which is not installed; install it with: pip install 'clearcast[ray]'"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no telemetry; must be set before Ray is loaded and started
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its log files have the rest
    ray = import_module("ray")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if "RAY_ADDRESS" not in os.environ:
        settings |= {"address": "local", "num_cpus": workers or cores(), "include_dashboard": False}
        settings |= {"object_store_memory": _STORE_BYTES}
    ray.init(**settings)
    try:
        _configure_data(import_module("ray.data"))
        yield ray
    finally:
        ray.shutdown()


def _configure_data(data: ModuleType) -> None:
    """Set up Ray Data for small rows, and without its own progress bar."""
    context = data.DataContext.get_current()
    context.target_max_block_size = _BLOCK_BYTES
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
