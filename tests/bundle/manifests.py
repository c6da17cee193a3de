"""Manifests of bundles, read for tests."""

from pathlib import Path

from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import Manifest


def read_manifest(path: Path) -> Manifest:
    """Read a bundle's manifest, after all its files have been checked."""
    package = open_package(path)
    package.check()
    return package.manifest
