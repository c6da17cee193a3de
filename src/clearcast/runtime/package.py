"""Bundle archive: a folder or a zip, whose files are checked and read as bytes, and never unpacked to disk."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clearcast.errors import OutputError
from clearcast.files import replace_file
from clearcast.runtime.manifest import MANIFEST, SIGNATURE, Manifest, is_inside, parse_manifest, sha256
from clearcast.runtime.signing import Trust

LARGEST = 1 << 30  # bytes of one unpacked file; those of a bundle have about ten million
_MOST = 10_000  # entries of a zip
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # with other methods ``zipfile`` unpacks any amount at once
_DATE = (1980, 1, 1, 0, 0, 0)  # of every entry, so that the same files give the same zip

Read = Callable[[str], bytes]


@dataclass(frozen=True, kw_only=True)
class Package:
    """An open bundle.

    Attributes:
        path: of the folder or the zip.
        manifest: parsed and checked.
        unchecked: reads a file without checking its hash.
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
        """Return the names of all files except the manifest."""
        return sorted(self.manifest["files"])

    def read(self, name: str) -> bytes:
        """Read a file of the bundle, such as ``inspect.onnx``, and check its SHA-256.

        Raises:
            OutputError: it is missing or was changed.
        """
        return _read_checked(self.unchecked, name, self.manifest["files"], self.path)

    def check(self) -> None:
        """Check every file; see ``read``."""
        for name in self.names():
            self.read(name)


def open_package(path: Path, trust: Trust | None = None) -> Package:
    """Open a bundle; its files are checked as they are read.

    Args:
        path: of its folder or zip.
        trust: public keys, one of which must have signed it; None: no signature is required.

    Raises:
        OutputError: it is not a bundle, is damaged, has another format, or is not signed by a trusted key.
    """
    read = reader_of(path)
    text = read(MANIFEST)
    if trust:
        trust.require(text, read_signature(read), str(path))
    return Package(
        path=path,
        manifest=parse_manifest(text, str(path)),
        unchecked=lambda name: text if name == MANIFEST else read(name),  # the bytes whose signature was checked
    )


def read_signature(read: Read) -> bytes | None:
    """Return the content of a bundle's ``manifest.sig``; None if it has none."""
    try:
        return read(SIGNATURE)
    except OutputError:
        return None


def read_manifest(path: Path) -> Manifest:
    """Read a bundle's manifest, and check all its files.

    Raises:
        OutputError: it is not a bundle, is damaged, or has another format.
    """
    package = open_package(path)
    package.check()
    return package.manifest


def _read_checked(read: Read, name: str, files: dict[str, str], where: Path) -> bytes:
    """Read a file and check its SHA-256, which ``files`` holds.

    Raises:
        OutputError: it is not listed, is missing, or was changed.
    """
    if name not in files:
        raise OutputError(f"{where}: has no {name}; recreate the bundle, or use another")
    data = read(name)
    if sha256(data) != files[name]:
        raise OutputError(f"{where}: {name} is not the file that was written (SHA-256); copy the bundle again")
    return data


def reader_of(path: Path) -> Read:
    """Return a function that reads the files of a bundle, without checking them.

    Raises:
        OutputError: there is neither a folder nor a zip with a manifest, or the zip is unsafe.
    """
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise OutputError(f"{path}: not a bundle (no {MANIFEST}); create one with 'clearcast train'")
        return lambda name: _read_from_folder(path, name)
    if not path.is_file():
        raise OutputError(f"{path}: no such folder or file; expected a bundle, which 'clearcast train' creates")
    listed = _list_entries(path)
    if MANIFEST not in listed:
        raise OutputError(f"{path}: not a bundle (no {MANIFEST} at the top level); zip one with 'clearcast export'")
    return lambda name: _read_from_zip(path, name, listed)


def pack(folder: Path, path: Path) -> None:
    """Write a bundle's folder as a zip, atomically; the same files always give the same bytes."""
    names = sorted([MANIFEST, *parse_manifest((folder / MANIFEST).read_bytes(), str(folder))["files"]])
    if (folder / SIGNATURE).is_file():
        names.append(SIGNATURE)
    with replace_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, _DATE), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)


def _read_from_folder(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise OutputError(f"{folder}: {name} is missing; copy the bundle again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{folder}: {name} is a link to outside the bundle; copy the bundle with the file itself")
    if path.stat().st_size > LARGEST:
        raise OutputError(f"{folder}: {name} has more than {LARGEST:,} bytes; do not use this bundle")
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error})") from None


def _list_entries(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the entries of a zip by name, after checking that they can be those of a bundle."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise OutputError(f"{path}: neither a bundle's folder nor a complete zip ({error}); copy it again") from None
    _require_no_outer_folder({info.filename for info in infos}, path)
    if len(infos) > _MOST:
        raise OutputError(f"{path}: holds {len(infos):,} files; do not use this bundle")
    listed: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename in listed:
            raise OutputError(f"{path}: holds {info.filename!r} twice; do not use this bundle")
        if not is_inside(info.filename):
            raise OutputError(f"{path}: holds {info.filename!r}, which is not a valid name in a bundle; do not use it")
        if info.compress_type not in _METHODS:
            raise OutputError(
                f"{path}: {info.filename} uses an unsupported compression; zip it with 'clearcast export'"
            )
        listed[info.filename] = info
    if sum(info.file_size for info in infos) > LARGEST:
        raise OutputError(f"{path}: unpacks to more than {LARGEST:,} bytes; do not use this bundle")
    return listed


def _require_no_outer_folder(names: set[str], path: Path) -> None:
    """Reject a zip that has the bundle in a folder, as most programs make it, with a helpful message."""
    outer = next((name for name in names if name.endswith(f"/{MANIFEST}") and MANIFEST not in names), None)
    if outer:
        raise OutputError(
            f"{path}: not a bundle (expected {MANIFEST} at the top level, got {outer!r}); zip the content of the "
            "folder, not the folder itself, or use 'clearcast export'"
        )


def _read_from_zip(path: Path, name: str, listed: dict[str, zipfile.ZipInfo]) -> bytes:
    if name not in listed:
        raise OutputError(f"{path}: {name} is missing; copy the bundle again")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(listed[name]) as file:
            return file.read(listed[name].file_size)  # never unpack more than the listed size
    except Exception as error:  # zipfile raises exceptions of many types for a damaged file
        raise OutputError(f"{path}: {name} cannot be unpacked ({error}); copy the bundle again") from None
