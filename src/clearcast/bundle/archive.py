"""Bundle archive: a folder or a zip, whose files are checked and read as bytes, and never unpacked to disk."""

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clearcast.bundle.manifest import (
    MANIFEST_FILE,
    SIGNATURE_FILE,
    Manifest,
    is_bundle_path,
    parse_manifest,
    sha256_hex,
)
from clearcast.bundle.signing import TrustedSigners, read_private_key, sign_manifest
from clearcast.core.errors import OutputError
from clearcast.core.files import replace_file

MAX_UNPACKED_BYTES = 1 << 30  # bytes of one unpacked file; those of a bundle have about ten million
_MAX_ENTRIES = 10_000  # of a zip
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # with other methods ``zipfile`` unpacks any amount at once
_ENTRY_DATE = (1980, 1, 1, 0, 0, 0)  # of every entry, so that the same files give the same zip

FileReader = Callable[[str], bytes]
"""Function that returns the content of a file of a bundle, by its name."""


@dataclass(frozen=True, kw_only=True)
class BundlePackage:
    """An open bundle.

    Attributes:
        path: of the folder or the zip.
        manifest: parsed and checked.
        read_unchecked: reads a file without checking its hash.
    """

    path: Path
    manifest: Manifest
    read_unchecked: FileReader

    @property
    def name(self) -> str:
        """Name of the folder, or of the zip without its suffix."""
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
        return _read_checked(self.read_unchecked, name, self.manifest["files"], self.path)

    def check(self) -> None:
        """Check every file; see ``read``."""
        for name in self.names():
            self.read(name)


def open_package(path: Path, trust: TrustedSigners | None = None) -> BundlePackage:
    """Open a bundle; its files are checked as they are read.

    Args:
        path: of its folder or zip.
        trust: public keys, one of which must have signed it; None: no signature is required.

    Raises:
        OutputError: it is not a bundle, is damaged, has another format, or is not signed by a trusted key.
    """
    read = open_reader(path)
    text = read(MANIFEST_FILE)
    if trust:
        trust.require(text, read_signature(read), str(path))
    return BundlePackage(
        path=path,
        manifest=parse_manifest(text, str(path)),
        # The bytes of the manifest whose signature was checked; the file may have changed since.
        read_unchecked=lambda name: text if name == MANIFEST_FILE else read(name),
    )


def read_signature(read: FileReader) -> bytes | None:
    """Return the content of a bundle's ``manifest.sig``; None if it has none."""
    try:
        return read(SIGNATURE_FILE)
    except OutputError:
        return None


def open_reader(path: Path) -> FileReader:
    """Return a function that reads the files of a bundle, without checking them.

    Raises:
        OutputError: there is neither a folder nor a zip with a manifest, or the zip is unsafe.
    """
    if path.is_dir():
        if not (path / MANIFEST_FILE).is_file():
            raise OutputError(f"{path}: not a bundle (no {MANIFEST_FILE}); create one with 'clearcast train'")
        return lambda name: _read_from_folder(path, name)
    if not path.is_file():
        raise OutputError(f"{path}: no such folder or file; expected a bundle, which 'clearcast train' creates")
    listed = _list_entries(path)
    if MANIFEST_FILE not in listed:
        raise OutputError(
            f"{path}: not a bundle (no {MANIFEST_FILE} at the top level); zip one with 'clearcast export'"
        )
    return lambda name: _read_from_zip(path, name, listed)


def zip_bundle(folder: Path, path: Path) -> None:
    """Write a bundle's folder as a zip, atomically; the same files always give the same bytes."""
    names = sorted([MANIFEST_FILE, *parse_manifest((folder / MANIFEST_FILE).read_bytes(), str(folder))["files"]])
    if (folder / SIGNATURE_FILE).is_file():
        names.append(SIGNATURE_FILE)
    with replace_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, _ENTRY_DATE), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)


def is_bundle(source: Path) -> bool:
    """Return whether a path is a bundle, and not a study's run.

    Raises:
        OutputError: it is neither.
    """
    if source.is_dir() and not (source / MANIFEST_FILE).exists() and (source / "run.json").exists():
        return False
    open_reader(source)
    return True


def copy_bundle(source: Path, out: Path, *, trust: TrustedSigners | None = None, key: Path | None = None) -> None:
    """Copy a bundle to a new folder or zip, see ``create_bundle``; each file is checked.

    Args:
        source: the bundle.
        out: must not exist.
        trust: public keys, one of which must have signed ``source``; None: no signature is required.
        key: the private key to sign with; None: an existing signature is copied.

    Raises:
        OutputError: the bundle is damaged or not signed by a trusted key, the key cannot be used, or ``out`` exists.
    """
    package = open_package(source, trust)
    private_key = read_private_key(key) if key else None
    with create_bundle(out) as folder:
        text = package.read_unchecked(MANIFEST_FILE)
        (folder / MANIFEST_FILE).write_bytes(text)
        copy_bundle_files(package, folder)
        signature = sign_manifest(text, private_key) if private_key else read_signature(package.read_unchecked)
        if signature:
            (folder / SIGNATURE_FILE).write_bytes(signature)


def copy_bundle_files(package: BundlePackage, folder: Path) -> None:
    """Copy all files of a bundle except its manifest and signature to a folder; each is checked."""
    for name in package.names():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(package.read(name))


@contextmanager
def create_bundle(out: Path) -> Iterator[Path]:
    """Yield an empty folder to write a bundle into, which becomes ``out`` atomically; a zip file if it ends in .zip.

    Raises:
        OutputError: ``out`` exists.
    """
    if out.exists():
        raise OutputError(f"{out} already exists; choose another name, or delete it")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.{os.getpid()}")  # on the same disk
    folder.mkdir()
    try:
        yield folder
        if out.suffix.lower() == ".zip":
            zip_bundle(folder, out)
        else:
            folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_checked(read: FileReader, name: str, files: dict[str, str], where: Path) -> bytes:
    """Read a file and check its SHA-256, which ``files`` holds.

    Raises:
        OutputError: it is not listed, is missing, or was changed.
    """
    if name not in files:
        raise OutputError(f"{where}: has no {name}; recreate the bundle, or use another")
    data = read(name)
    if sha256_hex(data) != files[name]:
        raise OutputError(f"{where}: {name} is not the file that was written (SHA-256); copy the bundle again")
    return data


def _read_from_folder(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise OutputError(f"{folder}: {name} is missing; copy the bundle again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{folder}: {name} is a link to outside the bundle; copy the bundle with the file itself")
    if path.stat().st_size > MAX_UNPACKED_BYTES:
        raise OutputError(f"{folder}: {name} has more than {MAX_UNPACKED_BYTES:,} bytes; do not use this bundle")
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
    if len(infos) > _MAX_ENTRIES:
        raise OutputError(f"{path}: holds {len(infos):,} files; do not use this bundle")
    listed: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename in listed:
            raise OutputError(f"{path}: holds {info.filename!r} twice; do not use this bundle")
        if not is_bundle_path(info.filename):
            raise OutputError(f"{path}: holds {info.filename!r}, which is not a valid name in a bundle; do not use it")
        if info.compress_type not in _COMPRESSIONS:
            raise OutputError(
                f"{path}: {info.filename} uses an unsupported compression; zip it with 'clearcast export'"
            )
        listed[info.filename] = info
    if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise OutputError(f"{path}: unpacks to more than {MAX_UNPACKED_BYTES:,} bytes; do not use this bundle")
    return listed


def _require_no_outer_folder(names: set[str], path: Path) -> None:
    """Reject a zip that has the bundle in a folder, as most programs make it, with a helpful message."""
    outer = next((name for name in names if name.endswith(f"/{MANIFEST_FILE}") and MANIFEST_FILE not in names), None)
    if outer:
        raise OutputError(
            f"{path}: not a bundle (expected {MANIFEST_FILE} at the top level, got {outer!r}); zip the content of the "
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
