"""Copy a bundle between folder and zip archive, and sign it; needs nothing but the bundle."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearcast.errors import OutputError
from clearcast.runtime.manifest import MANIFEST, SIGNATURE
from clearcast.runtime.package import Package, open_package, pack, read_signature, reader_of
from clearcast.runtime.signing import Trust, read_private_key, sign


def has_graphs(source: Path) -> bool:
    """Return whether a path is a bundle, and not a study's run.

    Raises:
        OutputError: it is neither.
    """
    if source.is_dir() and not (source / MANIFEST).exists() and (source / "run.json").exists():
        return False
    reader_of(source)
    return True


def repack(source: Path, out: Path, *, trust: Trust | None = None, key: Path | None = None) -> None:
    """Copy a bundle to a new folder or zip, see ``new_bundle``; each file is checked.

    Args:
        source: the bundle.
        out: must not exist.
        trust: public keys, one of which must have signed ``source``; None: no signature is required.
        key: the private key to sign with; None: an existing signature is copied.

    Raises:
        OutputError: the bundle is damaged or not signed by a trusted key, the key cannot be used, or ``out`` exists.
    """
    package = open_package(source, trust)
    secret = read_private_key(key) if key else None
    with new_bundle(out) as folder:
        text = package.unchecked(MANIFEST)
        (folder / MANIFEST).write_bytes(text)
        copy_files(package, folder)
        signature = sign(text, secret) if secret else read_signature(package.unchecked)
        if signature:
            (folder / SIGNATURE).write_bytes(signature)


def copy_files(package: Package, folder: Path) -> None:
    """Copy all files of a bundle except its manifest and signature to a folder; each is checked."""
    for name in package.names():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(package.read(name))


@contextmanager
def new_bundle(out: Path) -> Iterator[Path]:
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
            pack(folder, out)
        else:
            folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
