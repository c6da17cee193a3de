"""Write a bundle at another place: its folder as one zip, or its zip as a folder. It needs nothing but the bundle."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearcast.errors import OutputError
from clearcast.runtime.manifest import FORMAT, MANIFEST, SIGNATURE, parse_trained
from clearcast.runtime.package import Package, open_package, pack, read_signature, reader_of
from clearcast.runtime.signing import Trust, read_private_key, sign


def has_graphs(source: Path) -> bool:
    """Whether something is a bundle that can be inspected with: no study's run, and none from before there were graphs.

    Raises:
        OutputError: it is neither of the three, or damaged.
    """
    if source.is_dir() and not (source / MANIFEST).exists() and (source / "run.json").exists():
        return False
    return parse_trained(reader_of(source)(MANIFEST), str(source))["format"] == FORMAT


def repack(source: Path, out: Path, *, trust: Trust | None = None, key: Path | None = None) -> None:
    """Write a bundle anew, as ``new_bundle`` does; each file is checked.

    Args:
        source: the bundle.
        out: must not be there.
        trust: whose signature ``source`` must have; None: it needs none.
        key: the private key to sign with; None: a signature that is there is copied.

    Raises:
        OutputError: the bundle is damaged or not signed as ``trust`` asks, the key cannot be used, or ``out`` is there.
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
    """Write all files of a bundle but its manifest and signature to a folder; each is checked."""
    for name in package.names():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(package.read(name))


@contextmanager
def new_bundle(out: Path) -> Iterator[Path]:
    """An empty folder to make a bundle in, which becomes ``out``, whole or not at all; if that ends in .zip, one file.

    Raises:
        OutputError: ``out`` is there.
    """
    if out.exists():
        raise OutputError(f"{out} is there already; name another, or delete it")
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
