"""A bundle as a folder or as one zip, whose files are read as bytes and never unpacked to the disk."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clearcast.errors import OutputError
from clearcast.files import replace_file
from clearcast.runtime.manifest import MANIFEST, SIGNATURE, Manifest, is_inside, parse_manifest, sha256
from clearcast.runtime.signing import Trust

LARGEST = 1 << 30  # bytes of one file, unpacked; a bundle's are some ten million
_MOST = 10_000  # entries of a zip
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # by others, ``zipfile`` unpacks any amount at once
_DATE = (1980, 1, 1, 0, 0, 0)  # of every entry, so that the same files give the same zip

Read = Callable[[str], bytes]


@dataclass(frozen=True, kw_only=True)
class Package:
    """A bundle that can be read.

    Attributes:
        path: of the folder or the zip.
        manifest: what it says of itself.
        unchecked: reads a file as it is there.
    """

    path: Path
    manifest: Manifest
    unchecked: Read

    @property
    def name(self) -> str:
        """The folder's name, or the zip's without its suffix."""
        path = self.path.resolve()
        return path.stem if path.is_file() else path.name

    def names(self) -> list[str]:
        """The names of all files but the manifest."""
        return sorted(self.manifest["files"])

    def read(self, name: str) -> bytes:
        """A file of the bundle, such as ``inspect.onnx``, after making sure that it is the one that was written.

        Raises:
            OutputError: it is missing, or was changed.
        """
        return read_checked(self.unchecked, name, self.manifest["files"], self.path)

    def check(self) -> None:
        """Make sure of every file; see ``read``."""
        for name in self.names():
            self.read(name)


def open_package(path: Path, trust: Trust | None = None) -> Package:
    """Open a bundle; its files are checked as they are read.

    Args:
        path: of its folder or zip.
        trust: whose signature it must have; None: it needs none.

    Raises:
        OutputError: not a bundle, a damaged one, one of another format, or not signed as ``trust`` asks.
    """
    read, text = read_trusted(path, trust)
    return Package(
        path=path,
        manifest=parse_manifest(text, str(path)),
        unchecked=lambda name: text if name == MANIFEST else read(name),  # the very one whose signature was checked
    )


def read_trusted(path: Path, trust: Trust | None) -> tuple[Read, bytes]:
    """What reads the files of a bundle of whatever format, and its manifest, signed as ``trust`` asks.

    Raises:
        OutputError: see ``reader_of`` and ``Trust.require``.
    """
    read = reader_of(path)
    text = read(MANIFEST)
    if trust:
        trust.require(text, read_signature(read), str(path))
    return read, text


def read_signature(read: Read) -> bytes | None:
    """The content of a bundle's ``manifest.sig``; None if it has none."""
    try:
        return read(SIGNATURE)
    except OutputError:
        return None


def read_manifest(path: Path) -> Manifest:
    """A bundle's manifest, after making sure of all its files.

    Raises:
        OutputError: not a bundle, a damaged one, or one of another format.
    """
    package = open_package(path)
    package.check()
    return package.manifest


def read_checked(read: Read, name: str, files: dict[str, str], where: Path) -> bytes:
    """Read a file whose SHA-256 ``files`` holds.

    Raises:
        OutputError: it is none of them, missing, or was changed.
    """
    if name not in files:
        raise OutputError(f"{where}: has no {name}; make the bundle again, or take another")
    data = read(name)
    if sha256(data) != files[name]:
        raise OutputError(f"{where}: {name} is not the file that was written (SHA-256); copy the bundle again")
    return data


def reader_of(path: Path) -> Read:
    """What reads the files of a bundle, of whatever format.

    Raises:
        OutputError: there is neither a folder nor a zip with a manifest, or the zip is not one to be trusted.
    """
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise OutputError(f"{path}: not a bundle (no {MANIFEST}); make one with 'clearcast train'")
        return lambda name: _from_folder(path, name)
    if not path.is_file():
        raise OutputError(f"{path}: no such folder or file; needed is a bundle, as 'clearcast train' makes it")
    listed = _entries(path)
    if MANIFEST not in listed:
        raise OutputError(f"{path}: not a bundle (no {MANIFEST} at its top); zip one with 'clearcast export'")
    return lambda name: _from_zip(path, name, listed)


def pack(folder: Path, path: Path) -> None:
    """Write a bundle's folder as one zip, whole or not at all; the same files always give the same bytes."""
    names = sorted([MANIFEST, *parse_manifest((folder / MANIFEST).read_bytes(), str(folder))["files"]])
    if (folder / SIGNATURE).is_file():
        names.append(SIGNATURE)
    with replace_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, _DATE), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)


def _from_folder(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise OutputError(f"{folder}: {name} is missing; copy the bundle again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{folder}: {name} is a link that leads outside; copy the bundle with the file itself")
    if path.stat().st_size > LARGEST:
        raise OutputError(f"{folder}: {name} has more than {LARGEST:,} bytes; do not use this bundle")
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error})") from None


def _entries(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by name, if all of them could be those of a bundle."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise OutputError(f"{path}: neither a bundle's folder nor a whole zip ({error}); copy it again") from None
    _require_no_folder_around({info.filename for info in infos}, path)
    if len(infos) > _MOST:
        raise OutputError(f"{path}: holds {len(infos):,} files; do not use this bundle")
    listed: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename in listed:
            raise OutputError(f"{path}: holds {info.filename!r} twice; do not use this bundle")
        if not is_inside(info.filename):
            raise OutputError(f"{path}: holds {info.filename!r}, which is no name of a bundle's file; do not use it")
        if info.compress_type not in _METHODS:
            raise OutputError(f"{path}: {info.filename} is packed in an unusual way; zip it with 'clearcast export'")
        listed[info.filename] = info
    if sum(info.file_size for info in infos) > LARGEST:
        raise OutputError(f"{path}: unpacks to more than {LARGEST:,} bytes; do not use this bundle")
    return listed


def _require_no_folder_around(names: set[str], path: Path) -> None:
    """Say what to do about a zip as most programs make it of a folder."""
    around = next((name for name in names if name.endswith(f"/{MANIFEST}") and MANIFEST not in names), None)
    if around:
        raise OutputError(
            f"{path}: not a bundle (no {MANIFEST} at its top, but {around!r}); zip what is in the folder, and not the "
            "folder, or do it with 'clearcast export'"
        )


def _from_zip(path: Path, name: str, listed: dict[str, zipfile.ZipInfo]) -> bytes:
    if name not in listed:
        raise OutputError(f"{path}: {name} is missing; copy the bundle again")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(listed[name]) as file:
            return file.read(listed[name].file_size)  # no more is unpacked than it is listed with
    except Exception as error:  # zipfile and what it unpacks with raise many kinds for a damaged file
        raise OutputError(f"{path}: {name} cannot be unpacked ({error}); copy the bundle again") from None
