"""Images of an object store with a URL such as ``s3://bucket/parts``, listed and read through fsspec."""

import re
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from clearcast.core.errors import MissingDependencyError, PictureError, PictureFault
from clearcast.core.files import SIGNATURE_BYTES, OtherFileCounts, is_ignored_name, is_image_file
from clearcast.core.imaging import MAX_IMAGE_BYTES
from clearcast.inference.sources.item import FileState, SourceError, SourceItem, make_unreadable_item

_MODIFIED_KEYS = ("LastModified", "last_modified", "mtime", "updated")


class ObjectStore(Protocol):
    """Interface of fsspec's file systems, as far as it is used."""

    def ls(self, path: str, *, detail: bool) -> list[dict[str, Any]]:
        """List a folder's entries, or a file itself, with name, type and size."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read a file's bytes, or those from ``start`` to before ``end``."""

    def unstrip_protocol(self, name: str) -> str:
        """Convert a path to a URL."""


def is_url(source: str) -> bool:
    """Return whether a source is a URL, such as ``s3://bucket/parts``.

    >>> is_url("s3://bucket/parts"), is_url("C:/parts")
    (True, False)
    """
    return re.match("[a-z][a-z0-9+.-]*://", source) is not None


def store_items(url: str, *, recursive: bool = True, others: OtherFileCounts | None = None) -> Iterator[SourceItem]:
    """List the images of a store's folder, sorted by name within each folder; or the single image of a URL.

    Images are recognised as in folders, see ``core.files``; files of other types are counted in ``others``. A folder
    that cannot be listed becomes an item that raises when it is read.

    Raises:
        SourceError: there is no such store or folder, or it cannot be reached.
        MissingDependencyError: a package for this type of store is not installed.
    """
    store, root = _open_store(url)
    try:
        entries = _list_entries(store, root)
    except Exception as error:  # each type of store raises its own
        reason = str(error) or type(error).__name__
        raise SourceError(f"{url}: cannot list ({reason}); check the URL and the access rights") from None
    if [entry["name"] for entry in entries] == [root]:
        return iter([_make_item(store, entries[0], root.rpartition("/")[0])])
    return _walk_store(store, root, entries, OtherFileCounts() if others is None else others, recursive=recursive)


def _walk_store(
    store: ObjectStore, root: str, entries: list[dict[str, Any]], others: OtherFileCounts, *, recursive: bool
) -> Iterator[SourceItem]:
    for entry in entries:
        path = entry["name"]
        name = path.rpartition("/")[2]
        if is_ignored_name(name):
            continue
        if entry["type"] != "directory":
            if is_image_file(name, partial(store.cat_file, path, 0, SIGNATURE_BYTES)):
                yield _make_item(store, entry, root)
            else:
                others.add(name)
        elif recursive:
            try:
                below = _list_entries(store, path)
            except Exception as error:  # each type of store raises its own
                reason = f"cannot list the folder ({error})"
                yield make_unreadable_item(store.unstrip_protocol(path), _key(path, root), reason)
                continue
            yield from _walk_store(store, root, below, others, recursive=True)


def _list_entries(store: ObjectStore, path: str) -> list[dict[str, Any]]:
    """List a folder, sorted; some stores list the folder itself too, and end folders' names with a slash."""
    listed = [{**entry, "name": entry["name"].rstrip("/")} for entry in store.ls(path, detail=True)]
    return sorted(
        (entry for entry in listed if entry["name"] != path or (entry["type"] == "file" and len(listed) == 1)),
        key=lambda entry: entry["name"],
    )


def _make_item(store: ObjectStore, entry: dict[str, Any], root: str) -> SourceItem:
    url = store.unstrip_protocol(entry["name"])
    read = partial(_read, url, entry["size"])
    return SourceItem(name=url, key=_key(entry["name"], root), read=read, state=partial(_state, entry))


def _state(entry: dict[str, Any]) -> FileState | None:
    """Size and time as listed by the store; the key of the time depends on the type of store."""
    modified = next((str(entry[key]) for key in _MODIFIED_KEYS if entry.get(key)), "")
    return FileState(size=entry["size"], modified=modified) if modified and entry["size"] is not None else None


def _key(path: str, root: str) -> str:
    return path.removeprefix(root).lstrip("/")


def _read(url: str, size: int | None) -> bytes:
    if size == 0:
        raise PictureError(PictureFault.EMPTY, f"{url}: the file is empty (0 bytes); copy the image again")
    if size is not None and size > MAX_IMAGE_BYTES:
        raise PictureError(
            PictureFault.TOO_LARGE, f"{url}: the file has {size:,} bytes; the limit is {MAX_IMAGE_BYTES:,}"
        )
    try:
        store, path = _open_store(url)
        return store.cat_file(path)
    except Exception as error:  # each type of store raises its own
        raise PictureError(PictureFault.UNREADABLE, f"{url}: cannot read ({error})") from None


def _open_store(url: str) -> tuple[ObjectStore, str]:
    """Get the store of a URL, which fsspec caches, and the path within it."""
    if find_spec("fsspec") is None:
        raise MissingDependencyError(
            f"{url}: object stores need the package fsspec; install it with: pip install fsspec"
        )
    try:
        store, path = import_module("fsspec").core.url_to_fs(url)
    except ImportError as error:
        raise MissingDependencyError(f"{url}: {error}") from None
    except Exception as error:  # each type of store raises its own
        raise SourceError(f"{url}: cannot open ({error}); check the URL and the access rights") from None
    return store, path.rstrip("/")
