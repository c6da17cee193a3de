from pathlib import Path

import pytest
from markupsafe import Markup


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures empty where a test reads only words: drawing takes nearly all of a page's time."""

    def keep(_: object, path: Path) -> Markup:
        path.write_bytes(b"")
        return Markup("")

    monkeypatch.setattr("clearcast.report.figures.keep", keep)
