"""Inspect pictures on many machines by Ray Data: items in, inspections out, one actor a core that holds the model.

What an actor says of a picture depends on the bundle and the picture alone. So Ray may kill actors, start others and
give them the same pictures again, and the rows are those of one machine; only their order is another.
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

_BLOCK = 64  # pictures that an actor is given at once; when it dies, as many are inspected again
_ROUND = 300  # blocks for each actor; between rounds actors start anew, and no more names are in memory
_PICKLED = "pickled"  # the one column of all tables
_BLOCK_BYTES = 1 << 20  # what a block of rows stays below; Ray expects 128 MB, and would let actors wait for room
_STORE_BYTES = 256 << 20  # shared memory on this machine; rows and names need little


class Column(Protocol):
    """A column of a pyarrow table, which has no types."""

    def to_pylist(self) -> list[bytes]:
        """Its values."""


Table = dict[str, Column]  # as far as it is used here, what a pyarrow table is


def inspect_on_ray(package: Package, items: Iterable[Item], *, workers: int | None) -> Generator[Inspection]:
    """Inspect pictures on the Ray cluster that RAY_ADDRESS names; where it names none, on the cores of this machine.

    All machines need this version of Clearcast and must find the pictures at the same paths; the bundle is sent to
    them. A bad picture is an inspection with an error. Ray's usage statistics and its dashboard stay off.

    Args:
        package: a bundle whose files have been checked.
        items: pictures in files; not those of a zip, a video or a camera, which only one process can read.
        workers: how many actors, one core each; None: as many as there are cores.

    Yields:
        The inspections, without pictures, in any order.

    Raises:
        MissingDependencyError: Ray is not installed.
        SourceError: an item can be read by this process alone.
    """
    with _cluster(workers) as ray:
        bundle = ray.put((package.path, package.manifest, _files(package)))
        actors = workers or int(ray.cluster_resources()["CPU"])
        waiting = iter(items)
        blocks = iter(lambda: list(islice(waiting, _BLOCK)), [])
        while packed := [_packed(block) for block in islice(blocks, _ROUND * actors)]:
            yield from _round(packed, bundle, actors)


class Worker:
    """What an actor does: it loads a bundle once, checks its answers, and inspects lists of items.

    Args:
        bundle: Ray's reference to the path, the manifest and the files of a bundle.
        folder: what relative paths are relative to, where this machine has it.
    """

    def __init__(self, bundle: object, folder: Path) -> None:
        with suppress(OSError):
            os.chdir(folder)
        path, manifest, files = import_module("ray").get(bundle)
        package = Package(path=path, manifest=manifest, unchecked=files.__getitem__)
        self._inspector = Inspector(package, load_model(package))

    def __call__(self, table: Table) -> Table:
        """From a pyarrow table of pickled lists of items to one of pickled lists of inspections."""
        lists = (pickle.loads(pickled) for pickled in table[_PICKLED].to_pylist())
        return _table([pickle.dumps([self._inspector.inspect(item) for item in found]) for found in lists])


def _files(package: Package) -> dict[str, bytes]:
    """Of a bundle's files those that inspecting needs, with the golden picture that is looked at first."""
    names = {name for name in package.names() if name.endswith(".onnx") or name == REFERENCE}
    if GOLDEN in package.names():
        names |= {GOLDEN, read_golden(package)[0]["file"]}
    return {name: package.read(name) for name in sorted(names)}


def _round(packed: list[bytes], bundle: object, actors: int) -> Iterator[Inspection]:
    data = import_module("ray.data")
    rows = [{_PICKLED: block} for block in packed]
    # Not of tables made here: tasks would look at these first, in processes of their own, which takes seconds.
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
    """Items that another machine can read: made by this program for its own actors."""
    try:
        return pickle.dumps(items)
    except (TypeError, AttributeError, pickle.PicklingError):
        raise SourceError(
            f"{items[0].name}: can be read by one process alone; Ray needs pictures in files: unpack them, or leave "
            "out --engine ray"
        ) from None


def _table(pickled: list[bytes]) -> Table:
    arrow = import_module("pyarrow")
    table: Table = arrow.table({_PICKLED: arrow.array(pickled, arrow.binary())})
    return table


@contextmanager
def _cluster(workers: int | None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster while the context lasts."""
    if find_spec("ray") is None:
        raise MissingDependencyError(
            "--engine ray needs the package ray, which is not installed; install it with: pip install 'clearcast[ray]'"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing phones home; read when Ray is loaded and started
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of its own ways; its log files say the rest
    ray = import_module("ray")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if "RAY_ADDRESS" not in os.environ:
        settings |= {"address": "local", "num_cpus": workers or cores(), "include_dashboard": False}
        settings |= {"object_store_memory": _STORE_BYTES}
    ray.init(**settings)
    try:
        _calm(import_module("ray.data"))
        yield ray
    finally:
        ray.shutdown()


def _calm(data: ModuleType) -> None:
    """Rows are small, and the progress bar is ours."""
    context = data.DataContext.get_current()
    context.target_max_block_size = _BLOCK_BYTES
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
