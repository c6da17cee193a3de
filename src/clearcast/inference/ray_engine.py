"""Ray engine: inspect images on many machines with Ray Data; each core has one actor with a loaded model.

An inspection depends on the bundle and the image alone. So Ray may kill actors, start others and repeat images, and the
rows are the same as on one machine; only their order differs.
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

from clearcast.bundle.archive import BundlePackage
from clearcast.core.errors import MissingDependencyError
from clearcast.inference.drift_statistics import REFERENCE_FILE
from clearcast.inference.inspector import Inspector, available_cores
from clearcast.inference.sources import SourceError, SourceItem
from clearcast.inference.verification import GOLDEN_FILE, load_verified_model, read_golden_samples
from clearcast.types import Inspection

_BLOCK_SIZE = 64  # images that an actor gets at once; if it dies, they are inspected again
_BLOCKS_PER_ACTOR = (
    300  # blocks of a round for each actor; each round starts new actors and holds no more names in memory
)
_PICKLED = "pickled"  # the only column of all tables
_BLOCK_BYTES = 1 << 20  # upper bound of a block of rows; Ray expects 128 MB, and would make actors wait for memory
_STORE_BYTES = 256 << 20  # shared memory on this machine; rows and names are small


class RayColumn(Protocol):
    """A column of a pyarrow table, which has no type hints."""

    def to_pylist(self) -> list[bytes]:
        """Return its values."""


RayTable = dict[str, RayColumn]  # the part of a pyarrow table that is used here


def inspect_on_ray(
    package: BundlePackage, items: Iterable[SourceItem], *, workers: int | None
) -> Generator[Inspection]:
    """Inspect images on the Ray cluster of RAY_ADDRESS or, if that is not set, on the cores of this machine.

    All machines need this version of Clearcast and the images at the same paths; the bundle is sent to them. A bad
    image gives an inspection with an error. Ray's usage statistics and dashboard stay off.

    Args:
        package: a bundle whose files have been checked.
        items: images in files; not in a zip, a video or a camera, which only one process can read.
        workers: how many actors, with one core each; None: as many as there are cores.

    Yields:
        The inspections, without images, in any order.

    Raises:
        MissingDependencyError: Ray is not installed.
        SourceError: an item can be read by this process only.
    """
    with _connect(workers) as ray:
        bundle = ray.put((package.path, package.manifest, _required_files(package)))
        actors = workers or int(ray.cluster_resources()["CPU"])
        remaining = iter(items)
        blocks = iter(lambda: list(islice(remaining, _BLOCK_SIZE)), [])
        while pickled := [_pickle_items(block) for block in islice(blocks, _BLOCKS_PER_ACTOR * actors)]:
            yield from _run_round(pickled, bundle, actors)


class RayWorker:
    """Actor that loads a bundle once, checks a golden sample, and inspects lists of items.

    Args:
        bundle: Ray's reference to path, manifest and files of a bundle.
        folder: base of relative paths, if this machine has it.
    """

    def __init__(self, bundle: object, folder: Path) -> None:
        with suppress(OSError):
            os.chdir(folder)
        path, manifest, files = import_module("ray").get(bundle)
        package = BundlePackage(path=path, manifest=manifest, read_unchecked=files.__getitem__)
        self._inspector = Inspector(package, load_verified_model(package))

    def __call__(self, table: RayTable) -> RayTable:
        """Return a pyarrow table of pickled lists of inspections for one of pickled lists of items."""
        lists = (pickle.loads(pickled) for pickled in table[_PICKLED].to_pylist())
        return _table([pickle.dumps([self._inspector.inspect(item) for item in items]) for items in lists])


def _required_files(package: BundlePackage) -> dict[str, bytes]:
    """Return the files of a bundle that inspecting needs, with the first golden sample."""
    names = {name for name in package.names() if name.endswith(".onnx") or name == REFERENCE_FILE}
    if GOLDEN_FILE in package.names():
        names |= {GOLDEN_FILE, read_golden_samples(package)[0]["file"]}
    return {name: package.read(name) for name in sorted(names)}


def _run_round(pickled: list[bytes], bundle: object, actors: int) -> Iterator[Inspection]:
    data = import_module("ray.data")
    rows = [{_PICKLED: block} for block in pickled]
    # Rows instead of tables: Ray would first examine tables in separate processes, which takes seconds.
    inspected = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        RayWorker,
        fn_constructor_args=(bundle, Path.cwd()),
        compute=data.ActorPoolStrategy(size=min(actors, len(rows))),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
    )
    for table in inspected.iter_batches(batch_size=None, batch_format="pyarrow"):
        for block in table[_PICKLED].to_pylist():
            yield from pickle.loads(block)


def _pickle_items(items: list[SourceItem]) -> bytes:
    """Pickle items for other machines; only this program's actors unpickle them."""
    try:
        return pickle.dumps(items)
    except (TypeError, AttributeError, pickle.PicklingError):
        raise SourceError(
            f"{items[0].name}: expected images in files for Ray, got a source that only one process can read; unpack "
            "it, or leave out --engine ray"
        ) from None


def _table(pickled: list[bytes]) -> RayTable:
    arrow = import_module("pyarrow")
    table: RayTable = arrow.table({_PICKLED: arrow.array(pickled, arrow.binary())})
    return table


@contextmanager
def _connect(workers: int | None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster while the context lasts."""
    if find_spec("ray") is None:
        raise MissingDependencyError(
            "--engine ray needs the package ray, which is not installed; install it with: pip install 'clearcast[ray]'"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no usage statistics; Ray reads it when it is loaded and started
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # hides internal warnings; the log files have them
    ray = import_module("ray")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if "RAY_ADDRESS" not in os.environ:
        settings |= {"address": "local", "num_cpus": workers or available_cores(), "include_dashboard": False}
        settings |= {"object_store_memory": _STORE_BYTES}
    ray.init(**settings)
    try:
        _configure(import_module("ray.data"))
        yield ray
    finally:
        ray.shutdown()


def _configure(data: ModuleType) -> None:
    """Configure Ray Data for small rows, without its progress bars and log lines."""
    context = data.DataContext.get_current()
    context.target_max_block_size = _BLOCK_BYTES
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
