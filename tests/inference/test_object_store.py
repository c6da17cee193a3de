"""Images of object stores: fsspec's in-memory store, and the disk as a store."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clearcast.core import imaging
from clearcast.core.errors import MissingDependencyError, PictureError
from clearcast.inference.sources import Shard, SourceError, count_source, iterate_source, object_store
from tests.inference.handmade import uniform_image

fsspec = pytest.importorskip("fsspec", reason="needs fsspec, which comes with the extra ray")


@pytest.fixture
def parts() -> Iterator[dict[str, bytes]]:
    """Fill a store with images; returns these by key."""
    store = fsspec.filesystem("memory")
    grey = {f"{number}.png": 20 * number for number in range(4)} | {"b/c/5.jpg": 200}
    files = {key: imaging.encode_image(uniform_image(level), Path(key).suffix) for key, level in grey.items()}
    others = {"note.txt": b"no image", ".hidden.png": b"x", ".trash/6.png": b"x"}
    store.pipe({f"/bucket/parts/{key}": data for key, data in (files | others).items()})
    yield files
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def test_a_store_is_read_like_a_folder(parts: dict[str, bytes], tmp_path: Path) -> None:
    for key, data in parts.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    for source in ("memory://bucket/parts", "memory://bucket/parts/", tmp_path.as_uri()):
        assert {item.key: item.read() for item in iterate_source(source)} == parts
        assert [item.key for item in iterate_source(source)] == [item.key for item in iterate_source(tmp_path)]
        assert all(item.name.startswith(source.partition(":")[0]) for item in iterate_source(source))
        assert [item.key for item in iterate_source(source, recursive=False)] == ["0.png", "1.png", "2.png", "3.png"]
        assert count_source(source) == 5


def test_a_single_image_of_a_store(parts: dict[str, bytes]) -> None:
    (item,) = iterate_source("memory://bucket/parts/b/c/5.jpg")
    assert (item.key, item.read()) == ("5.jpg", parts["b/c/5.jpg"])
    assert pickle.loads(pickle.dumps(item)).read() == parts["b/c/5.jpg"]  # as it is sent to the machines of a cluster


def test_shards_of_a_store_equal_those_of_a_folder(parts: dict[str, bytes]) -> None:
    sharded = [
        item.key for number in (1, 2, 3) for item in iterate_source("memory://bucket/parts", shard=Shard(number, 3))
    ]
    assert sorted(sharded) == sorted(parts)


def test_an_invalid_image_stops_nothing(parts: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/parts/empty.png", b"")
    found = {item.key: item for item in iterate_source("memory://bucket/parts")}
    store.rm("/bucket/parts/0.png")
    for key, reason in {"0.png": "cannot read", "empty.png": "is empty"}.items():
        with pytest.raises(PictureError, match=reason):
            found[key].read()
    assert found["1.png"].read() == parts["1.png"]
    monkeypatch.setattr(object_store, "MAX_IMAGE_BYTES", 10)
    with pytest.raises(PictureError, match="the limit is 10"):
        found["1.png"].read()


@pytest.mark.parametrize("url", ["memory://bucket/none", "nosuch://bucket/parts"])
def test_a_missing_store_is_rejected(url: str) -> None:
    with pytest.raises(SourceError, match=f"{url}: cannot "):
        iterate_source(url)


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingDependencyError, match="s3fs"):
        iterate_source("s3://bucket/parts")
    monkeypatch.setattr(object_store, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install fsspec"):
        iterate_source("memory://bucket/parts")
