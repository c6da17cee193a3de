"""Clearcast inspects parts from noisy pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clearcast.runtime.loading import Bundle

__version__ = "0.1.0"


def load(
    path: str | Path, *, threads: int | None = None, trust: str | Path | Sequence[str | Path] | None = None
) -> Bundle:
    """Load a bundle, to inspect pictures with it.

    A verdict is ``ok`` or ``defect``; also ``retake`` where the bundle's ``retake_distance`` is not None.

    >>> bundle = load("castings")  # doctest: +SKIP
    >>> for inspection in bundle.predict("line-3/pictures"):  # doctest: +SKIP
    ...     print(inspection.path, inspection.verdict, inspection.p_defect, inspection.error)

    Args:
        path: of a bundle: its folder, or its zip.
        threads: how many pictures are worked on at a time, each on one core; by default as many as there are cores.
        trust: a public key, or several: only a bundle that one of their private keys signed is loaded; None: any.

    Raises:
        OutputError: not a bundle, a damaged one, one of another format, one that is not signed as ``trust`` asks, or
            one whose graphs do not answer here as they did where it was made.
    """
    from pathlib import Path

    from clearcast.runtime.loading import Bundle
    from clearcast.runtime.signing import read_trust

    keys = [trust] if isinstance(trust, str | Path) else trust
    trusted = None if keys is None else read_trust([Path(key) for key in keys])
    return Bundle(Path(path), threads=threads, trust=trusted)
