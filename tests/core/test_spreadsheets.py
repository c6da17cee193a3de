"""No text is evaluated as a formula, whatever separator the table is read with."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clearcast.core.spreadsheets import protect_cell, protect_table, restore_cell, restore_table

SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
FORMULA_TEXTS = st.text(st.sampled_from("=+-@;,\t\n\r|\"' \u2028a1."), max_size=12)


def cells_of(table: str, separator: str, quoting: int) -> list[str]:
    """Return the cells as some readers parse them, without surrounding blanks and quotation marks."""
    return [
        cell.strip().strip('"').strip()
        for line in table.splitlines(keepends=True)
        for row in csv.reader([line], delimiter=separator, quoting=quoting)  # type: ignore[arg-type]
        for cell in row
    ] + [cell.strip() for row in csv.reader(io.StringIO(table, newline=""), delimiter=separator) for cell in row]


@given(st.lists(FORMULA_TEXTS, min_size=1, max_size=4))
@example(["=1+1"])
@example(["a;=1+1"])
@example(["a\t=1+1\t-2"])
@example(["a\n=1+1"])
@example(['x;"=1+1"'])
@example(["x; \t'\"=1"])
@example(["a\u2028@SUM(1)"])
def test_no_reader_gets_a_cell_that_is_evaluated(texts: list[str]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows([[17, *map(protect_cell, texts), 0.5]] * 2)

    for separator in (";", "\t", "|"):
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            found = [cell for cell in cells_of(file.getvalue(), separator, quoting) if cell.startswith(SIGNS)]
            assert not found, (separator, quoting, found, file.getvalue())
    for row in csv.reader(io.StringIO(file.getvalue(), newline="")):
        assert not [cell for cell in row if cell.strip().startswith(SIGNS) or cell.startswith(("\t", "\r", "\n"))]


@given(st.one_of(FORMULA_TEXTS, st.text(max_size=20)))
@example("'=1")
@example("''=1; ''-2")
@example("\t")
@example("'\n")
def test_restoring_is_the_inverse_of_protecting(text: str) -> None:
    assert restore_cell(protect_cell(text)) == text


@pytest.mark.parametrize(
    "text", ["part-1.jpg", "a + b", "2026-11-24", "it's ok", "x=1", "", "line 1, camera -2", "a;b", "100%", "'quoted'"]
)
def test_other_texts_do_not_change(text: str) -> None:
    assert protect_cell(text) == restore_cell(text) == text


@pytest.mark.parametrize("text", ["=1", "a;=1", "-", "+49 170", "@home", " =1", '"=1"', "\t=1", "＝1"])
def test_formulas_are_marked(text: str) -> None:
    assert protect_cell(text) != text


def test_a_protected_table_is_restored_and_its_numbers_do_not_change() -> None:
    table = pd.DataFrame({"path": ["=a", "b", None], "number": [-1, 2, 3], "share": [-0.5, float("nan"), 1.0]})
    protected = protect_table(table)

    assert protected["path"].tolist()[:2] == ["'=a", "b"]
    assert protected["number"].tolist() == [-1, 2, 3]
    pd.testing.assert_frame_equal(restore_table(protected), table)
