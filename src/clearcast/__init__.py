"""Clearcast: inspect parts from noisy images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clearcast.inference.api import Bundle


__version__ = "0.1.0"


def load(
    path: str | Path, *, threads: int | None = None, trust: str | Path | Sequence[str | Path] | None = None
) -> Bundle:
    """Load a bundle for inspecting images.

    A verdict is ``ok`` or ``defect``, or also ``retake`` if the bundle's ``retake_distance`` is not None.

    >>> bundle = load("castings")  # doctest: +SKIP
    >>> for inspection in bundle.predict("line-3/images"):  # doctest: +SKIP
    ...     print(inspection.path, inspection.verdict, inspection.p_defect, inspection.error)

    Args:
        path: the bundle, a folder or a zip.
        threads: number of images inspected in parallel, each on one core; by default the number of cores.
        trust: one or several public keys; the bundle must be signed by one of their private keys. None accepts any.

    Raises:
        OutputError: the path is not a bundle, or the bundle is damaged, has another format, is not signed by a trusted
            key, or its graphs compute other outputs on this machine than on the one that made it.
    """
    from pathlib import Path

    from clearcast.bundle.signing import read_trusted_signers
    from clearcast.inference.api import Bundle

    keys = [trust] if isinstance(trust, str | Path) else trust
    trusted = None if keys is None else read_trusted_signers([Path(key) for key in keys])
    return Bundle(Path(path), threads=threads, trust=trusted)
