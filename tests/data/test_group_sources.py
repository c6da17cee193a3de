from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clearcast.core.errors import SheetError
from clearcast.data.groups.row_groups import GroupSource, read_groups_file, resolve_row_parts, write_groups_table
from clearcast.data.sheet import Sheet, SheetColumns, SheetRow, read_sheet
from clearcast.noise.registry import NoiseType
from clearcast.types import Label, Subset


def sheet(*groups: str) -> Sheet:
    rows = [
        SheetRow(
            number=number,
            noisy=f"noisy/{number}.png",
            noise_type=NoiseType.GAUSSIAN,
            reference=f"clean/{number}.png",
            label=Label.OK,
            group=group,
        )
        for number, group in enumerate(groups, 2)
    ]
    return Sheet(path=Path("Labels.xlsx"), root=Path(), sha256="", rows=tuple(rows))


def found() -> tuple[str, ...]:
    raise AssertionError("looked for, though they are known")


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_row_is_found_by_either_of_its_images(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"Path": ["noisy\\2.png", "./clean/3.png", "clean/4.png", "other.png"], "Group": [1, 2, 1, 9]})
    path = tmp_path / f"groups{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False, sep=";")
    else:
        table.to_excel(path, index=False)

    assert read_groups_file(path, sheet("", "", "")) == ("1", "2", "1")


def test_groups_that_look_like_formulas_are_written_as_text_and_read_back(tmp_path: Path) -> None:
    plain = sheet("=1", "-2")
    rows = tuple(replace(row, noisy=f"={row.number}.png") for row in plain.rows)
    odd = replace(plain, rows=rows)
    write_groups_table(odd, ("=1", "-2"), tmp_path / "groups.csv")

    assert read_groups_file(tmp_path / "groups.csv", odd) == ("=1", "-2")
    lines = (tmp_path / "groups.csv").read_text("utf-8").splitlines()
    assert "'=2.png,'=1" in lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group\nclean/2.png,a\n", r"1 of 2 rows .* row 3 \(noisy/3.png\): not listed"),
        ("path,group\nclean/2.png,a\nnoisy/2.png,b\nclean/3.png,a\n", r"1 of 2 rows .* row 2 .*: a and b"),
        (
            "path,part\nclean/2.png,a\n",
            "no column 'group'; the sheet has 'path', 'part'; expected the columns path and group",
        ),
    ],
)
def test_errors_of_the_groups_file_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text)

    with pytest.raises(SheetError, match="(?s)" + message):
        read_groups_file(path, sheet("", ""))


def test_the_file_goes_before_the_column_and_the_column_before_looking(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("path,group\nclean/2.png,a\nclean/3.png,a\n")

    by_file = resolve_row_parts(sheet("x", "y"), path, found)
    by_column = resolve_row_parts(sheet("x", ""), None, found)
    looked_for = resolve_row_parts(sheet("", ""), None, lambda: ("p", "q"))

    assert (by_file.of_rows, by_file.source, by_file.independent) == (("a", "a"), GroupSource.FILE, False)
    assert (by_column.of_rows, by_column.source) == (("x", "row 3"), GroupSource.COLUMN)
    assert (looked_for.of_rows, looked_for.source, looked_for.independent) == (("p", "q"), GroupSource.FOUND, True)


def test_the_sheet_may_have_group_and_subset_columns(tmp_path: Path) -> None:
    path = tmp_path / "Labels.csv"
    path.write_text(
        "Noisy Image,Noise Type,Denoise Image,group,Use\nok1.png,Salt,ok1r.png,7,train\nok2.png,Salt,ok2r.png,,exam\n"
    )

    first, second = read_sheet(path, columns=SheetColumns(subset="use")).rows

    assert (first.group, first.subset, first.problems) == ("7", Subset.TRAIN, ())
    assert (second.group, second.subset) == ("", None)
    assert second.problems == ("unknown subset 'exam'; expected one of train, validation, test",)
    assert read_sheet(path).rows[1].problems == ()
