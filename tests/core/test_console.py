"""Terminal output has no control sequences from file names."""

import io
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.markup import escape
from rich.table import Table

from clearcast.core.console import EscapedLogRecord, TerminalConsole, escape_unprintable, show_progress

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\x9b2J\x7f\u202egpj\u2066\udcff\r\x08b"
CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
MAIN = "from clearcast.cli import main; main()"


@given(st.text(st.characters()))
def test_printable_text_has_no_control_characters(text: str) -> None:
    shown = escape_unprintable(text)
    assert not CONTROL_CHARACTERS.search(shown)
    shown.encode()
    assert "\n" not in escape_unprintable(text, lines=False)
    assert escape_unprintable(shown) == shown


@pytest.mark.parametrize(
    "text", ["Gehäuse_1.png", "部品.png", "a b\u202f1.png", "[red]x[/red]", "two\nlines\tand a tab"]
)
def test_ordinary_text_does_not_change(text: str) -> None:
    assert escape_unprintable(text) == text


def test_all_console_output_is_escaped() -> None:
    out = io.StringIO()
    console = TerminalConsole(file=out, width=400)
    console.print(HOSTILE, markup=False)
    console.print(escape(HOSTILE))
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    with show_progress(console, HOSTILE):
        pass
    assert not CONTROL_CHARACTERS.search(out.getvalue())
    assert out.getvalue().count(r"a\x1b[31mred") == 6


def test_colours_and_progress_bars_are_not_escaped() -> None:
    out = io.StringIO()
    console = TerminalConsole(file=out, force_terminal=True, color_system="standard")
    console.print(HOSTILE, style="red", markup=False)
    with show_progress(console, "Reading") as progress:
        progress(1, 2)
    assert out.getvalue().startswith("\x1b[31ma\\x1b")  # red, and the name's own escape as text
    assert "\x1b[?25l" in out.getvalue()  # the bar hides the cursor


def test_log_messages_and_tracebacks_are_escaped() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    for exc_info in (None, (OSError, OSError(HOSTILE), None)):
        record = EscapedLogRecord("station", logging.ERROR, "f.py", 1, "cannot delete: %s", (HOSTILE,), exc_info)
        handler.handle(record)
    assert out.getvalue().count(r"a\x1b[31mred") == 3
    assert not CONTROL_CHARACTERS.search(out.getvalue())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not allow such names")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_hostile_file_name_in_an_error_is_escaped(tmp_path: Path, encoding: str) -> None:
    name = "部\x1b[31m\u202e.xlsx"
    (tmp_path / name).write_bytes(b"no sheet")
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "check", str(tmp_path / name)],
        capture_output=True,
        env={"PYTHONIOENCODING": encoding, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 1
    shown = done.stderr.decode()
    assert "Traceback" not in shown
    assert r"\x1b[31m\u202e.xlsx" in shown
    assert not CONTROL_CHARACTERS.search(shown)
