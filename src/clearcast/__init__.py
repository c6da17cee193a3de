"""Clearcast inspects parts from noisy pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from clearcast.runtime.loading import Bundle

__version__ = "0.1.0"


def load(path: str | Path, *, threads: int | None = None) -> Bundle:
    """Load a bundle, to inspect pictures with it.

    A verdict is ``ok`` or ``defect``; also ``retake`` where the bundle's ``retake_distance`` is not None.

    >>> bundle = load("castings")  # doctest: +SKIP
    >>> for inspection in bundle.predict("line-3/pictures"):  # doctest: +SKIP
    ...     print(inspection.path, inspection.verdict, inspection.p_defect, inspection.error)

    Args:
        path: of a bundle: its folder, or its zip.
        threads: how many pictures are worked on at a time, each on one core; by default as many as there are cores.

    Raises:
        OutputError: not a bundle, a damaged one, or one of another format.
    """
    from pathlib import Path

    from clearcast.runtime.loading import Bundle

    return Bundle(Path(path), threads=threads)
