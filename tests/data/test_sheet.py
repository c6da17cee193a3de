import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clearcast.core.errors import MissingDependencyError, SheetError
from clearcast.data import sheet as sheets
from clearcast.data.readers.grid import TableLine
from clearcast.data.readers.table import ColumnTable
from clearcast.data.sheet import Sheet, SheetColumns, SheetRow, read_sheet
from clearcast.noise.registry import NoiseType
from clearcast.types import Label

FILES = Path(__file__).parent / "files"
HEADER = ["Denoise Image", "Noise Type", "Noisy Image"]
RECORDS = [
    ["Without-Noise/cast_ok_0.jpeg", "Gaussian", "With-Noise/cast_ok_0.jpeg"],
    ["Without-Noise/cast_def_1.jpeg", "Periodic", "With-Noise/cast_def_1.jpeg"],
    ["Without-Noise/cast_defect_2.jpeg", "Salt", "With-Noise/cast_defect_2.jpeg"],
]
UNDERSTOOD = [
    (2, "With-Noise/cast_ok_0.jpeg", NoiseType.GAUSSIAN, "Without-Noise/cast_ok_0.jpeg", Label.OK),
    (3, "With-Noise/cast_def_1.jpeg", NoiseType.PERIODIC, "Without-Noise/cast_def_1.jpeg", Label.DEFECT),
    (4, "With-Noise/cast_defect_2.jpeg", NoiseType.SALT_AND_PEPPER, "Without-Noise/cast_defect_2.jpeg", Label.DEFECT),
]

Cells = Sequence[Sequence[object]]


def write(path: Path, records: Cells, header: list[str] = HEADER) -> Path:
    table = pd.DataFrame(records, columns=header)
    if path.suffix == ".xlsx":
        table.to_excel(path, index=False)
    elif path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


def write_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def fields(row: SheetRow) -> tuple[object, ...]:
    assert not row.problems
    return row.number, row.noisy, row.noise_type, row.reference, row.label


def read_one(folder: Path, noisy: object, reference: object = "ok.png", noise: object = "Salt") -> SheetRow:
    """Read the row of a workbook with one row."""
    sheet = read_sheet(write(folder / "Labels.xlsx", [[reference, noise, noisy]]))
    assert len(sheet.rows) == 1
    return sheet.rows[0]


@pytest.mark.parametrize("name", ["Labels.xlsx", "Labels.csv", "Labels.parquet"])
def test_the_published_layout_is_read_from_every_format(tmp_path: Path, name: str) -> None:
    sheet = read_sheet(write(tmp_path / name, RECORDS))

    assert [fields(row) for row in sheet.rows] == UNDERSTOOD
    assert sheet.root == tmp_path
    assert sheet.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert sheet.resolve(sheet.rows[0].noisy) == tmp_path / "With-Noise" / "cast_ok_0.jpeg"


def test_an_old_workbook_is_read_with_its_blank_row_and_numbers() -> None:
    *rows, numbered = read_sheet(FILES / "labels.xls").rows

    assert [fields(row) for row in rows] == [
        (2, "With-Noise/cast_ok_0_10.jpeg", NoiseType.GAUSSIAN, "Without-Noise/cast_ok_0_10.jpeg", Label.OK),
        (3, "With-Noise/cast_def_0_11.jpeg", NoiseType.PERIODIC, "Without-Noise/cast_def_0_11.jpeg", Label.DEFECT),
        (
            5,
            "With-Noise/cast_defect_0_12.jpeg",
            NoiseType.SALT_AND_PEPPER,
            "Without-Noise/cast_defect_0_12.jpeg",
            Label.DEFECT,
        ),
    ]
    assert (numbered.number, numbered.reference, numbered.noisy, numbered.label) == (6, "13", "14", None)
    assert "neither ok nor def" in numbered.problems[0]


def test_a_suffix_in_capitals_is_accepted(tmp_path: Path) -> None:
    write(tmp_path / "Labels.csv", RECORDS).rename(tmp_path / "LABELS.CSV")

    assert len(read_sheet(tmp_path / "LABELS.CSV").rows) == 3


def test_other_column_names_and_a_label_column(tmp_path: Path) -> None:
    records: Cells = [
        ["c/1.png", "S&P", "n/1.png", 0.0],
        ["c/2.png", "none", "n/2.png", 1],
        ["c/3.png", "awgn", "n/3.png", "NOK"],
    ]
    path = write(tmp_path / "parts.xlsx", records, ["clean", "kind", "spoilt", "fault"])

    rows = read_sheet(
        path, columns=SheetColumns(noisy="spoilt", noise_type="kind", reference="clean", label="fault")
    ).rows

    assert [fields(row)[1:] for row in rows] == [
        ("n/1.png", NoiseType.SALT_AND_PEPPER, "c/1.png", Label.OK),
        ("n/2.png", NoiseType.NONE, "c/2.png", Label.DEFECT),
        ("n/3.png", NoiseType.GAUSSIAN, "c/3.png", Label.DEFECT),
    ]


def test_the_label_column_takes_precedence_over_the_path(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [["def_1.png", "Salt", "def_1.png", "good"]], [*HEADER, "Label"])

    assert read_sheet(path, columns=SheetColumns(label="label")).rows[0].label is Label.OK


@pytest.mark.parametrize(
    "header", [["DENOISE IMAGE", "noise type", " Noisy Image "], [" Denoise Image", "Noise Type\t", "noisy image"]]
)
def test_case_and_spaces_of_the_header_are_ignored(tmp_path: Path, header: list[str]) -> None:
    assert [fields(row) for row in read_sheet(write(tmp_path / "a.xlsx", RECORDS, header)).rows] == UNDERSTOOD


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv"])
@pytest.mark.parametrize("duplicate", ["NOISY IMAGE", "Noisy Image"])
def test_two_columns_of_a_wanted_name_are_refused(tmp_path: Path, name: str, duplicate: str) -> None:
    path = write(tmp_path / name, [["ok_1.png", "Salt", "ok_2.png", "ok_3.png"]], [*HEADER, duplicate])

    assert "2 columns are named 'Noisy Image'; expected one" in refusal(path)


def test_duplicate_names_of_other_columns_are_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", [["note", *RECORDS[0], "note"]], ["Note", *HEADER, "Note"])

    assert [fields(row) for row in read_sheet(path).rows] == UNDERSTOOD[:1]


def test_one_column_cannot_have_two_roles(tmp_path: Path) -> None:
    with pytest.raises(
        SheetError, match="column 'noisy image' is named for noisy and for reference; name another with"
    ):
        read_sheet(
            write(tmp_path / "a.csv", RECORDS), columns=SheetColumns(noisy="noisy image", reference="Noisy Image")
        )


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv"])
def test_blank_rows_above_the_header_are_skipped_and_counted(tmp_path: Path, name: str) -> None:
    rows: Cells = [[None] * 3, ["", " ", None], HEADER, *RECORDS]
    path = tmp_path / name
    if path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False, header=False)
    else:
        pd.DataFrame(rows).to_excel(path, index=False, header=False)

    read = read_sheet(path).rows

    assert [(row.number - 2, *fields(row)[1:]) for row in read] == UNDERSTOOD


def test_notes_beside_the_table_of_a_workbook_are_ignored(tmp_path: Path) -> None:
    rows: Cells = [[*HEADER, None, None], [*RECORDS[0], None, "checked"]]
    pd.DataFrame(rows).to_excel(tmp_path / "a.xlsx", index=False, header=False)

    assert [fields(row) for row in read_sheet(tmp_path / "a.xlsx").rows] == UNDERSTOOD[:1]


def test_a_line_of_more_cells_than_the_header_is_a_problem_of_that_row(tmp_path: Path) -> None:
    lines = [HEADER, RECORDS[0], ["ok, 1.png", "Salt", "ok, 1.png"], ["ok.png", "Salt", "ok.png", " "], ["x"]]

    first, long, blank, short = read_sheet(write_text(tmp_path / "a.csv", "\n".join(map(",".join, lines)))).rows

    assert fields(first) == UNDERSTOOD[0]
    assert (long.number, long.noisy, long.noise_type, long.reference, long.label) == (3, "", None, "", None)
    assert len(long.problems) == 1
    assert long.problems[0].startswith("the line has 5 cells, but the header 3")
    assert 'in "quotes"' in long.problems[0]
    assert (blank.noisy, blank.problems) == ("ok.png", ())
    assert "the path of the noisy image is missing" in short.problems


@pytest.mark.parametrize(
    ("noisy", "reference", "message"),
    [
        ("def_2.png", "ok_1.png", "the paths contradict each other: 'def_2.png' means defect, 'ok_1.png' means ok; "),
        ("n/1.png", "def_ok.png", "the path 'def_ok.png' names both ok and defect; "),
        ("no_ok.png", "ok.png", "the path 'no_ok.png' names both ok and defect; "),
        (
            "ok/def_1.png",
            "def.png",
            "the path 'ok/def_1.png' contradicts itself: 'def_1.png' means defect, 'ok' means ok; ",
        ),
        (
            "train/NOT_OK/Part_OK.png",
            "def.png",
            "the path 'train/NOT_OK/Part_OK.png' contradicts itself: 'Part_OK.png' means ok, 'NOT_OK' means defect; ",
        ),
        ("ok/no_def.png", "ok.png", "the path 'ok/no_def.png' names both ok and defect; "),
        ("1.png", "2.png", "the path '1.png' names neither ok nor def(ect); "),
    ],
)
def test_paths_without_a_clear_label_are_named(tmp_path: Path, noisy: str, reference: str, message: str) -> None:
    row = read_one(tmp_path, noisy, reference)

    assert row.label is None
    assert row.problems == (f"{message}rename the file or name a --label-column",)


@pytest.mark.parametrize(
    ("noisy", "label", "folder"),
    [
        ("metal_defect_dataset/train/ok/1.png", Label.OK, "metal_defect_dataset"),
        ("defect-detection/ok_front/1.png", Label.OK, "defect-detection"),
        ("second_pass/def_front/1.png", Label.DEFECT, "second_pass"),
        ("pass1/cast_def_0_1.png", Label.DEFECT, "pass1"),
        ("good_light/def/1.png", Label.DEFECT, "good_light"),
        ("NG_line/ok/1.png", Label.OK, "NG_line"),
        ("Gut_Bremen/def/1.png", Label.DEFECT, "Gut_Bremen"),
        ("ok/part/def_1.png", Label.DEFECT, "ok"),
        ("ok/def/1.png", Label.DEFECT, "ok"),
        ("ok_def/ng/ok_set/def_1.png", Label.DEFECT, "ok_set"),
    ],
)
def test_the_nearest_name_counts_and_a_contradicting_folder_is_noted(
    tmp_path: Path, noisy: str, label: Label, folder: str
) -> None:
    sheet = read_sheet(write(tmp_path / "a.csv", [[f"clean/{label}_1.png", "Salt", noisy]] * 2))

    assert [(row.label, row.problems) for row in sheet.rows] == [(label, ())] * 2
    assert [note.kind for note in sheet.notes] == ["labels in folders"]
    assert f"2 paths lie in a folder {folder!r}" in sheet.notes[0].message
    assert repr(noisy) in sheet.notes[0].message


def test_the_most_frequent_contradicting_folder_is_named(tmp_path: Path) -> None:
    noisy = ["pass1/def_1.png", "bad_light/ok/1.png", "bad_light/ok/2.png"]
    records = [["def.png" if "def" in path else "ok.png", "Salt", path] for path in noisy]

    (note,) = read_sheet(write(tmp_path / "a.csv", records)).notes

    assert "2 paths lie in a folder 'bad_light'" in note.message
    assert "and 1 more such folders" in note.message
    assert "as in 'bad_light/ok/1.png'" in note.message


@pytest.mark.parametrize("noisy", ["ok/1.png", "ok/good_1.png", "def_or_ok/ok_1.png", "a/b/cast_ok_1.png"])
def test_folders_with_the_same_or_no_label_are_not_noted(tmp_path: Path, noisy: str) -> None:
    sheet = read_sheet(write(tmp_path / "a.csv", [["ok.png", "Salt", noisy]]))

    assert (sheet.rows[0].label, sheet.notes) == (Label.OK, ())


def test_folders_are_ignored_if_there_is_a_label_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [["ok/1.png", "Salt", "ok/def_1.png", "bad"]], [*HEADER, "Label"])

    sheet = read_sheet(path, columns=SheetColumns(label="Label"))

    assert (sheet.rows[0].label, sheet.rows[0].problems, sheet.notes) == (Label.DEFECT, (), ())


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_with_any_separator_encoding_and_line_end(
    tmp_path: Path, separator: str, encoding: str, newline: str
) -> None:
    text = newline.join(separator.join(line) for line in [HEADER, *RECORDS])

    rows = read_sheet(write_text(tmp_path / "a.csv", text, encoding)).rows

    assert [fields(row) for row in rows] == UNDERSTOOD


@pytest.mark.parametrize(
    "text",
    [
        '"Image, clean",Noise,"Image, noisy"\n"ok, 1.png",Salt,"ok, 2.png"\n',
        "Image, clean;Noise;Image, noisy\nok, 1.png;Salt;ok, 2.png\n",
        "A, b, c;Image, clean;Noise;Image, noisy\n;ok, 1.png;Salt;ok, 2.png\n",
    ],
)
def test_names_and_paths_with_commas(tmp_path: Path, text: str) -> None:
    columns = SheetColumns(noisy="Image, noisy", noise_type="Noise", reference="Image, clean")

    row = read_sheet(write_text(tmp_path / "a.csv", text), columns=columns).rows[0]

    assert (row.reference, row.noisy, row.label) == ("ok, 1.png", "ok, 2.png", Label.OK)


def test_trailing_separators_do_not_shift_columns(tmp_path: Path) -> None:
    text = ",".join(HEADER) + "\nok_1.png,Salt,ok_2.png,\nok_3.png,Salt,ok_4.png,\n"

    rows = read_sheet(write_text(tmp_path / "a.csv", text)).rows

    assert [(row.reference, row.noisy) for row in rows] == [("ok_1.png", "ok_2.png"), ("ok_3.png", "ok_4.png")]


def test_words_that_pandas_reads_as_missing_are_kept(tmp_path: Path) -> None:
    row = read_sheet(write_text(tmp_path / "a.csv", ",".join(HEADER) + "\nok/NA,None,ok/null\n")).rows[0]

    assert (row.reference, row.noise_type, row.noisy) == ("ok/NA", NoiseType.NONE, "ok/null")


def blank_csv(folder: Path) -> Path:
    lines = [",".join(line) for line in [HEADER, *RECORDS]]
    return write_text(folder / "a.csv", "\n".join([lines[0], lines[1], "", " , ,", "", lines[2], "", ""]))


def blank_xlsx(folder: Path) -> Path:
    return write(folder / "a.xlsx", [[*RECORDS[0]], [None] * 3, ["", " ", None], [None] * 3, [*RECORDS[1]], [None] * 3])


def blank_parquet(folder: Path) -> Path:
    empty = [None, None, None]
    table = pd.DataFrame([RECORDS[0], empty, empty, empty, RECORDS[1]], columns=HEADER)
    table["Noise Type"] = table["Noise Type"].astype("category")
    table["Label"] = pd.array([0, None, None, None, 1], dtype="Int64")
    table["Ratio"] = np.array([0, np.nan, np.nan, np.nan, 1], np.float32)
    table["Fault"] = pd.array([False, None, None, None, True], dtype="boolean")
    table.to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize("make", [blank_csv, blank_xlsx, blank_parquet])
def test_blank_rows_are_skipped_and_still_counted(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    rows = read_sheet(make(tmp_path)).rows

    assert [(row.number, row.label) for row in rows] == [(2, Label.OK), (6, Label.DEFECT)]


@pytest.mark.parametrize("column", ["Label", "Ratio", "Fault"])
def test_typed_labels_of_parquet_are_parsed_and_missing_values_are_blank(tmp_path: Path, column: str) -> None:
    rows = read_sheet(blank_parquet(tmp_path), columns=SheetColumns(label=column)).rows

    assert [(row.number, row.label) for row in rows] == [(2, Label.OK), (6, Label.DEFECT)]


def test_numbers_as_paths_are_read_as_typed(tmp_path: Path) -> None:
    row = read_one(tmp_path, 12.0, reference=7)

    assert (row.noisy, row.reference) == ("12", "7")


def test_invalid_rows_are_kept_with_every_problem(tmp_path: Path) -> None:
    records = [["", "Poisson", "../../1.png"], ["def_1.png", "", "ok_1.png"], ["1.png", "Salt", "2.png"]]

    rows = read_sheet(write(tmp_path / "a.csv", records)).rows

    assert [len(row.problems) for row in rows] == [3, 2, 1]
    assert rows[0].problems == (
        f"the noisy path '../../1.png' is outside the root {tmp_path}; set another root with --root",
        "the path of the reference image is missing",
        "unknown noise type 'Poisson'; expected one of gaussian, salt_and_pepper, periodic, none",
    )
    assert "'ok_1.png' means ok" in rows[1].problems[1]
    assert "neither ok nor def" in rows[2].problems[0]
    assert [(row.noise_type, row.label) for row in rows[:2]] == [(None, None)] * 2


def test_an_unknown_label_is_a_problem_of_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [["1.png", "Salt", "2.png", "perhaps"]], [*HEADER, "Label"])

    (problem,) = read_sheet(path, columns=SheetColumns(label="Label")).rows[0].problems

    assert problem.startswith("unknown label 'perhaps'; known words are for ok: ok, ")
    assert all(word in problem for word in ("n.i.O.", "不合格", "reject", "--ok-value", "--defect-value"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a/ok.png", "a/ok.png"),
        ("a\\b\\ok.png", "a/b/ok.png"),
        ("./a//b/../ok.png", "a/ok.png"),
        (".\\a\\..\\ok.png", "ok.png"),
        ("..ok.png", "..ok.png"),
        (".../ok.png", ".../ok.png"),
        ("~/ok.png", "~/ok.png"),
        ("  ok 1.png ", "ok 1.png"),
        ("$HOME/ok.png", "$HOME/ok.png"),
    ],
)
def test_paths_are_relative_with_forward_slashes(tmp_path: Path, text: str, path: str) -> None:
    assert read_one(tmp_path, text).noisy == path


@pytest.mark.parametrize(
    "text",
    [
        "..",
        "../ok.png",
        "..\\ok.png",
        "a/../../ok.png",
        "a\\..\\..\\ok.png",
        "/etc/ok.png",
        "\\etc\\ok.png",
        "//host/ok",
        "\\\\host\\share\\ok.png",
        "C:\\ok.png",
        "c:ok.png",
        "C:/../ok.png",
        "a/../../{root}x/ok.png",
    ],
)
def test_paths_that_leave_the_root_are_problems(tmp_path: Path, text: str) -> None:
    row = read_one(tmp_path, text.format(root=tmp_path.name))

    assert row.noisy == ""
    assert len(row.problems) == 1
    assert "is outside the root" in row.problems[0]


def test_absolute_paths_inside_the_root_are_accepted(tmp_path: Path) -> None:
    assert read_one(tmp_path, f"{tmp_path}/a/ok.png").noisy == "a/ok.png"
    assert read_one(tmp_path, f"{tmp_path}/../{tmp_path.name}/ok.png").noisy == "ok.png"


odd_pieces = st.sampled_from(
    ["..", ".", "", "~", "C:", "c:..", "\0", "...", "a", "ok.png", " ", "con", "%2e%2e", "$HOME"]
)
odd_paths = st.lists(odd_pieces | st.text(max_size=4), min_size=1, max_size=8).flatmap(
    lambda pieces: st.lists(st.sampled_from("/\\"), min_size=len(pieces), max_size=len(pieces)).map(
        lambda slashes: "".join(piece + slash for piece, slash in zip(pieces, slashes, strict=True))
    )
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=odd_paths | st.text(min_size=1))
@example(text="\ud800/../..")
@example(text="/")
def test_no_path_leads_outside_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    line = TableLine(2, (text.strip(), "Salt", "ok.png"))
    table = ColumnTable(columns=("Noisy Image", "Noise Type", "Denoise Image"), lines=(line,))
    monkeypatch.setattr(sheets, "read_columns", lambda *_, **__: table)  # a workbook cannot store every text
    path = tmp_path / "Labels.xlsx"
    path.touch()
    sheet = read_sheet(path)

    inside = sheet.rows[0].noisy

    assert "\\" not in inside
    assert "\0" not in inside
    assert not inside.startswith("/")
    assert ".." not in inside.split("/")
    reached = os.path.realpath(sheet.resolve(inside))
    assert os.path.commonpath([reached, os.path.realpath(tmp_path)]) == os.path.realpath(tmp_path)
    assert inside or sheet.rows[0].problems


def test_links_inside_the_root_are_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "ok.png").write_text("an image")
    (root / "linked").symlink_to(elsewhere, target_is_directory=True)

    sheet = read_sheet(
        write(root / "a.csv", [["ok.png", "Salt", "linked/ok.png"], ["ok.png", "Salt", "linked/../ok.png"]])
    )

    assert sheet.resolve(sheet.rows[0].noisy).read_text() == "an image"
    assert sheet.rows[1].noisy == "ok.png"  # by the text, not by the link


def test_another_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "lists").mkdir()
    path = write(tmp_path / "lists" / "a.csv", [[str(tmp_path / "pictures" / "ok.png"), "Salt", "ok.png"]])
    monkeypatch.chdir(tmp_path / "lists")

    for root in (tmp_path / "pictures", Path("../pictures")):
        sheet = read_sheet(path, root=root)
        assert sheet.root.is_absolute()
        assert (sheet.rows[0].reference, sheet.rows[0].noisy) == ("ok.png", "ok.png")
        assert sheet.resolve("ok.png").resolve() == (tmp_path / "pictures" / "ok.png").resolve()


def refusal(path: Path, **options: Path) -> str:
    """Return the one-line error of reading a sheet; it must begin with a path."""
    with pytest.raises(SheetError) as caught:
        read_sheet(path, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path.parent))
    return str(caught.value)


def test_a_missing_sheet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.xlsx").mkdir()

    assert "no such sheet; expected a file that ends in .xlsx, .xls, .csv, .parquet" in refusal(tmp_path / "a.xlsx")
    assert "got a folder" in refusal(tmp_path / "folder.xlsx")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    assert "got .txt" in refusal(write_text(tmp_path / "a.txt", "hello"))
    assert "got a name without a suffix" in refusal(write_text(tmp_path / "a", "hello"))


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    message = refusal(write(tmp_path / "a.csv", RECORDS), root=tmp_path / "none")

    assert message.startswith(f"{tmp_path / 'none'}: no such folder")


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "a.parquet"])
def test_missing_columns_are_reported_with_the_existing_ones(tmp_path: Path, name: str) -> None:
    message = refusal(write(tmp_path / name, RECORDS, ["Denoise Image", "Kind", "Path"]))

    assert "no column 'Noisy Image', 'Noise Type'; the sheet has 'Denoise Image', 'Kind', 'Path'" in message
    assert "--noisy-column" in message


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "a.parquet"])
def test_a_header_alone_is_refused(tmp_path: Path, name: str) -> None:
    assert "the sheet has no rows below its header" in refusal(write(tmp_path / name, []))


def test_only_blank_rows_are_refused(tmp_path: Path) -> None:
    assert "no rows" in refusal(write(tmp_path / "a.xlsx", [[None] * 3, [" "] * 3]))


@pytest.mark.parametrize("suffix", [".xlsx", ".xls", ".csv", ".parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    assert refusal(write_text(tmp_path / f"a{suffix}", "")).startswith(f"{tmp_path / 'a'}{suffix}: ")


def test_an_empty_workbook_is_refused(tmp_path: Path) -> None:
    pd.DataFrame().to_excel(tmp_path / "a.xlsx", index=False)

    assert "the sheet has no columns" in refusal(tmp_path / "a.xlsx")


@pytest.mark.parametrize("suffix", [".xlsx", ".xls", ".parquet"])
def test_text_with_the_suffix_of_a_sheet_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write_text(tmp_path / f"a{suffix}", ",".join(HEADER) + "\nok.png,Salt,ok.png\n")

    assert f"cannot be read as {suffix}" in refusal(path)


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_a_truncated_sheet_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", RECORDS)
    path.write_bytes(path.read_bytes()[:-100])

    assert f"cannot be read as {suffix}" in refusal(path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_csv_of_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    path = write_text(tmp_path / "a.csv", ",".join(HEADER) + "\nok_ü.png,Salt,ok_ü.png\n", encoding)

    assert "not UTF-8 text; save the sheet again as 'CSV UTF-8'" in refusal(path)


@pytest.mark.parametrize("line", ['"a,b,c', '"a"b,c,d'])
def test_a_csv_with_a_broken_line_is_refused(tmp_path: Path, line: str) -> None:
    path = write_text(tmp_path / "a.csv", ",".join(HEADER) + f"\nok.png,Salt,ok.png\n{line}\n")

    assert "cannot be read as .csv" in refusal(path)


def test_the_repr_of_a_sheet_omits_its_rows(tmp_path: Path) -> None:
    assert "rows" not in repr(Sheet(path=tmp_path, root=tmp_path, sha256="", rows=()))


def test_reading_parquet_runs_no_code_from_its_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", RECORDS)
    for name in ("json", "struct", "pyarrow", "numpy", "clearcast"):
        (tmp_path / f"{name}.py").write_text("open('was_run', 'w').close()\n")
    code = f"from pathlib import Path; from clearcast.data.sheet import read_sheet; read_sheet(Path({str(path)!r}))"
    safe = f"import sys; sys.path[:] = {[each for each in sys.path if each]!r}; {code}"

    subprocess.run([sys.executable, "-c", safe], cwd=tmp_path, check=True)

    assert not (tmp_path / "was_run").exists()


def test_parquet_without_its_package_reports_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", RECORDS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MissingDependencyError, match=r"a\.parquet: .*pyarrow.*pip install 'clearcast\[parquet\]'"):
        read_sheet(path)


@pytest.mark.parametrize("word", ["unknown", " Unknown "])
def test_a_reference_can_be_unknown(tmp_path: Path, word: str) -> None:
    row = read_one(tmp_path, "ok.png", reference=word)

    assert (row.reference, row.label, row.problems) == ("", Label.OK, ())
