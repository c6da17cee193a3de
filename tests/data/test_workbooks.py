"""Workbooks of people and programs: location of the table, hidden, merged and missing cells, size limits."""

import contextlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from clearcast.core.errors import SheetError
from clearcast.data.readers import grid
from clearcast.data.sheet import Sheet, SheetReading, read_sheet
from clearcast.noise.registry import NoiseType

HEADER = ("Denoise Image", "Noise Type", "Noisy Image")
ROWS = [(f"c/{word}_{place}.png", "Salt", f"n/{word}_{place}.png") for place, word in enumerate(("ok", "def", "ok"))]
WORKSHEET, BOOK, RELATIONS = "xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels"

Change = Callable[[bytes], bytes]


def workbook(*worksheets: tuple[str, Iterable[Iterable[Any]]]) -> Workbook:
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in worksheets or [("Labels", [HEADER, *ROWS])]:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(tuple(row))
    return book


def save_workbook(book: Workbook, path: Path, changes: dict[str, Change] | None = None, **added: bytes) -> Path:
    """Save a workbook, and change the bytes of some of its parts, or leave one out by giving it none."""
    file = io.BytesIO()
    book.save(file)
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = (changes or {}).get(name, bytes)(source.read(name))
            if content:
                target.writestr(name, content)
        for name, content in added.items():
            target.writestr(name, content)
    return path


def noisy(sheet: Sheet) -> list[tuple[int, str]]:
    assert not [row.problems for row in sheet.rows if row.problems]
    return [(row.number, row.noisy) for row in sheet.rows]


def refusal(path: Path, **reading: str) -> str:
    with pytest.raises(SheetError) as caught:
        read_sheet(path, reading=SheetReading(worksheet=reading.get("worksheet")))
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def expected(first: int) -> list[tuple[int, str]]:
    return [(first + place, row[2]) for place, row in enumerate(ROWS)]


def kinds(sheet: Sheet) -> list[str]:
    return [note.kind for note in sheet.notes]


def test_a_table_below_titles_is_found(tmp_path: Path) -> None:
    book = workbook(("Labels", [("Inspection list, line 4",), (), ("by", "hand"), HEADER, *ROWS]))

    sheet = read_sheet(save_workbook(book, tmp_path / "a.xlsx"))

    assert noisy(sheet) == expected(5)
    assert sheet.place == "worksheet 'Labels', header in row 4, rows 5 to 7"


def test_a_table_after_a_cover_sheet_is_found_with_the_same_fingerprint(tmp_path: Path) -> None:
    path = save_workbook(
        workbook(("Readme", [("How to use this list",)]), ("Parts", [HEADER, *ROWS])), tmp_path / "a.xlsx"
    )

    found, named = read_sheet(path), read_sheet(path, reading=SheetReading(worksheet="parts"))

    assert noisy(found) == noisy(named) == expected(2)
    assert found.fingerprint() == named.fingerprint()
    assert found.fingerprint()["reading"] == {"worksheet": "Parts"}
    assert SheetReading.from_json(found.fingerprint()["reading"]) == found.reading


def test_a_table_on_the_first_worksheet_keeps_its_fingerprint(tmp_path: Path) -> None:
    sheet = read_sheet(save_workbook(workbook(), tmp_path / "a.xlsx"))

    assert sheet.fingerprint() == {"sheet_sha256": sheet.sha256, "columns": {}}


def test_the_first_of_two_tables_is_read_and_the_other_noted(tmp_path: Path) -> None:
    path = save_workbook(workbook(("A", [HEADER, ROWS[0]]), ("B", [HEADER, ROWS[1]])), tmp_path / "a.xlsx")

    assert noisy(read_sheet(path)) == [(2, ROWS[0][2])]
    assert kinds(read_sheet(path)) == ["several worksheets"]
    assert noisy(read_sheet(path, reading=SheetReading(worksheet="B"))) == [(2, ROWS[1][2])]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_visible_worksheets_come_before_hidden_ones(tmp_path: Path, state: str) -> None:
    book = workbook(("Old", [HEADER, ROWS[0]]), ("New", [HEADER, ROWS[1]]))
    book["Old"].sheet_state = state
    alone = workbook(("Old", [HEADER, ROWS[0]]), ("Cover", [("x",)]))
    alone["Old"].sheet_state = state

    assert noisy(read_sheet(save_workbook(book, tmp_path / "a.xlsx"))) == [(2, ROWS[1][2])]
    assert kinds(read_sheet(save_workbook(alone, tmp_path / "b.xlsx"))) == ["hidden worksheet"]


def test_searched_worksheets_are_reported_if_there_is_no_table(tmp_path: Path) -> None:
    path = save_workbook(
        workbook(("Readme", [("x",)]), ("Parts", [("t",), ("Noisy image", "Kind")])), tmp_path / "a.xlsx"
    )

    message = refusal(path)
    assert "no column 'Noise Type', 'Denoise Image'; the sheet has 'Noisy image', 'Kind' in row 2 of" in message
    assert "of worksheet 'Parts'; searched the first 50 rows of 'Readme', 'Parts'" in message
    assert "no worksheet 'Labels'; the workbook has 'Readme', 'Parts'" in refusal(path, worksheet="Labels")


def test_a_csv_has_no_worksheets(tmp_path: Path) -> None:
    pd.DataFrame(ROWS, columns=list(HEADER)).to_csv(tmp_path / "a.csv", index=False)

    assert "leave out --worksheet" in refusal(tmp_path / "a.csv", worksheet="Labels")


def test_merged_cells_are_filled_only_within_the_table(tmp_path: Path) -> None:
    book = workbook(("Labels", [HEADER, *ROWS, (), (None, None, None, "a note beside")]))
    for row in (3, 4):
        book["Labels"].cell(row, 1).value = book["Labels"].cell(row, 2).value = None
    book["Labels"]["A2"] = "c/1.png"
    for name, area in (("A2", "A2:A3"), ("B2", "B2:B900")):
        book["Labels"].merge_cells(area)
        assert book["Labels"][name].value

    rows = read_sheet(save_workbook(book, tmp_path / "a.xlsx")).rows

    assert [(row.number, row.reference, row.noise_type) for row in rows] == [
        (2, "c/1.png", NoiseType.SALT_AND_PEPPER),
        (3, "c/1.png", NoiseType.SALT_AND_PEPPER),
        (4, "", NoiseType.SALT_AND_PEPPER),
    ]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('=IF(1,"Salt","")', "the noise type cell has a formula that was never calculated; open the workbook in"),
        ("#REF!", "the noise type cell has the error #REF!"),
    ],
)
def test_the_reason_why_a_cell_has_no_value_is_reported(tmp_path: Path, cell: str, message: str) -> None:
    book = workbook(("Labels", [HEADER, (ROWS[0][0], cell, ROWS[0][2])]))

    (row,) = read_sheet(save_workbook(book, tmp_path / "a.xlsx")).rows

    assert len(row.problems) == 1
    assert row.problems[0].startswith(message)


def test_a_zero_as_a_placeholder_for_a_result_is_not_a_value(tmp_path: Path) -> None:
    """Programs that cannot calculate write 0, and ask for calculation when the workbook is opened."""
    book = workbook(("Labels", [HEADER, (ROWS[0][0], "=B9", ROWS[0][2])]))
    zero = {WORKSHEET: lambda data: re.sub(rb"(<f>B9</f>)<v ?/>|(<f>B9</f>)<v></v>", rb"<f>B9</f><v>0</v>", data)}

    assert "never calculated" in read_sheet(save_workbook(book, tmp_path / "a.xlsx", zero)).rows[0].problems[0]


def test_a_calculated_formula_has_its_value(tmp_path: Path) -> None:
    book = workbook(("Labels", [HEADER, (ROWS[0][0], "=B9", ROWS[0][2])]))
    result = {
        WORKSHEET: lambda data: re.sub(rb"<c r=\"B2\".*?</c>", b'<c r="B2" t="str"><f>B9</f><v>Salt</v></c>', data)
    }

    assert noisy(read_sheet(save_workbook(book, tmp_path / "a.xlsx", result))) == [(2, ROWS[0][2])]


def test_hidden_rows_and_columns_are_read_and_noted(tmp_path: Path) -> None:
    book = workbook()
    book["Labels"].row_dimensions[3].hidden = True
    book["Labels"].column_dimensions["B"].hidden = True

    sheet = read_sheet(save_workbook(book, tmp_path / "a.xlsx"))

    assert noisy(sheet) == expected(2)
    assert kinds(sheet) == ["hidden rows", "hidden columns"]
    assert "1 of 3 rows are hidden" in sheet.notes[0].message
    assert "rows 3;" in sheet.notes[0].message
    assert "'Noise Type'" in sheet.notes[1].message


def test_totals_below_and_repeated_headers_are_reported(tmp_path: Path) -> None:
    book = workbook(("Labels", [HEADER, ROWS[0], HEADER, ROWS[1], (), ("Total: 2", None, None)]))

    _, header, _, total = read_sheet(save_workbook(book, tmp_path / "a.xlsx")).rows

    assert header.problems == ("the row repeats the header; remove it",)
    assert "below the last complete row ('Total: 2'); if it is a total or a note, remove it" in total.problems[-1]


def test_distant_cells_take_no_memory(tmp_path: Path) -> None:
    book = workbook()
    book["Labels"]["XFD1048576"] = "stray"
    book["Labels"]["A200000"].number_format = "0.00"
    declared = {WORKSHEET: lambda data: data.replace(b"A1:XFD1048576", b"A1:C4")}

    assert noisy(read_sheet(save_workbook(book, tmp_path / "a.xlsx"))) == expected(2)
    assert noisy(read_sheet(save_workbook(book, tmp_path / "b.xlsx", declared))) == expected(2)


def test_cells_and_rows_without_references_are_read(tmp_path: Path) -> None:
    bare = {WORKSHEET: lambda data: re.sub(rb' r="[A-Z]*[0-9]+"', b"", data)}

    assert noisy(read_sheet(save_workbook(workbook(), tmp_path / "a.xlsx", bare))) == expected(2)


def test_namespace_prefixes_in_xml_are_ignored(tmp_path: Path) -> None:
    def prefixed(data: bytes) -> bytes:
        return re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", data).replace(b" xmlns=", b" xmlns:x=")

    path = save_workbook(workbook(), tmp_path / "a.xlsx", {WORKSHEET: prefixed, BOOK: prefixed})

    assert noisy(read_sheet(path)) == expected(2)


def with_strings(book: Workbook, path: Path, strings: bytes) -> Path:
    """Return a workbook whose first path is a shared string."""
    relation = b'<Relationship Id="rId99" Type="x/sharedStrings" Target="/xl/sharedStrings.xml"/></Relationships>'
    changes: dict[str, Change] = {
        RELATIONS: lambda data: data.replace(b"</Relationships>", relation),
        WORKSHEET: lambda data: re.sub(rb'<c r="C2".*?</c>', b'<c r="C2" t="s"><v>0</v></c>', data),
    }
    return save_workbook(book, path, changes, **{"xl/sharedStrings.xml": strings})


def test_shared_strings_in_pieces_without_their_pronunciation(tmp_path: Path) -> None:
    strings = b"<sst><si><r><t>n/ok</t></r><r><t>_1_x002E_png</t></r><rPh><t>spoken</t></rPh></si></sst>"

    sheet = read_sheet(with_strings(workbook(), tmp_path / "a.xlsx", strings))

    assert sheet.rows[0].noisy == "n/ok_1.png"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MAX_STRING_BYTES", 50, "sharedStrings.xml unpacks to more than 0 MB, which is the limit"),
        ("MAX_STRINGS", 1, "the workbook has more than 1 strings"),
        ("MAX_CELLS", 5, "the worksheet has more than 5 cells"),
        ("MAX_CELL_TEXT", 3, "characters, which is the limit"),
        ("MAX_LINES", 2, "the table has more than 2 rows"),
        ("MAX_TEXT", 20, "the wanted columns have more than 20 characters"),
        ("MAX_PART_BYTES", 99, "unpacks to more than 0 MB"),
        ("MAX_PARTS", 3, "the workbook has more than 3 parts"),
        ("MAX_FILE_BYTES", 99, "the file has more than 0 MB"),
    ],
)
def test_sheets_beyond_the_limits_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int, message: str
) -> None:
    strings = b"<sst><si><t>n/ok.png</t></si><si><t>many</t></si></sst>"
    path = with_strings(workbook(), tmp_path / "a.xlsx", strings)
    assert len(read_sheet(path).rows) == 3
    monkeypatch.setattr(grid, name, value)

    assert message in refusal(path)


def test_a_part_that_unpacks_to_more_than_declared_is_refused(tmp_path: Path) -> None:
    path = save_workbook(workbook(), tmp_path / "a.xlsx")
    data = bytearray(path.read_bytes())
    entry = data.index(WORKSHEET.encode(), data.index(b"PK\x01\x02")) - 46
    data[entry + 24 : entry + 28] = (60).to_bytes(4, "little")
    path.write_bytes(data)

    assert "cannot be read as .xlsx" in refusal(path)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (WORKSHEET, lambda data: b'<!DOCTYPE x [<!ENTITY a "b">]>' + data, "has a document type"),
        (WORKSHEET, lambda _: b"", "the workbook has no worksheet"),
        (WORKSHEET, lambda data: data.replace(b'r="A2"', b'r="ZZZZ2"'), "a cell in column 'ZZZZ'"),
        (WORKSHEET, lambda data: data.replace(b'<row r="2"', b'<row r="9999999"'), "a row 9,999,999"),
        (WORKSHEET, lambda data: data[:-300], "cannot be read as .xlsx"),
        (
            WORKSHEET,
            lambda data: re.sub(rb't="inlineStr"><is>.*?</is>', b't="s"><v>7</v>', data, count=1),
            "string 7",
        ),
        (BOOK, lambda _: b"", "has no part xl/workbook.xml"),
    ],
)
def test_damage_is_reported(tmp_path: Path, part: str, change: Change, message: str) -> None:
    assert message in refusal(save_workbook(workbook(), tmp_path / "a.xlsx", {part: change}))


COVER: list[tuple[str, list[Any]]] = [
    ("Cover", [["Inspection"], ["of castings"]]),
    ("Labels", [HEADER, *ROWS]),
]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-300],
        lambda data: b'<!DOCTYPE x [<!ENTITY a "b">]>' + data,
        lambda _: b"no XML",
        lambda data: data.replace(b'r="A2"', b'r="ZZZZ2"'),
        lambda data: data.replace(b'<row r="2"', b'<row r="9999999"'),
    ],
)
@pytest.mark.parametrize("place", [1, 2])
def test_a_damaged_worksheet_beside_the_table_is_noted(tmp_path: Path, change: Change, place: int) -> None:
    worksheets = COVER if place == 1 else COVER[::-1]
    part = f"xl/worksheets/sheet{place}.xml"

    sheet = read_sheet(save_workbook(workbook(*worksheets), tmp_path / "a.xlsx", {part: change}))

    assert noisy(sheet) == expected(2)
    assert kinds(sheet) == ["damaged worksheet"]
    assert "worksheet 'Cover' cannot be read" in sheet.notes[0].message


def test_a_worksheet_with_a_wrong_checksum_is_noted(tmp_path: Path) -> None:
    path = save_workbook(workbook(*COVER), tmp_path / "a.xlsx")
    data = bytearray(path.read_bytes())
    entry = data.index(WORKSHEET.encode(), data.index(b"PK\x01\x02")) - 46
    data[entry + 16] ^= 1  # of the checksum
    path.write_bytes(data)

    assert kinds(read_sheet(path)) == ["damaged worksheet"]


def test_a_damaged_worksheet_that_has_the_table_or_is_named_is_refused(tmp_path: Path) -> None:
    second = "xl/worksheets/sheet2.xml"
    path = save_workbook(workbook(*COVER), tmp_path / "a.xlsx", {second: lambda data: data[:-300]})
    assert "cannot be read as .xlsx" in refusal(path)

    path = save_workbook(workbook(*COVER), tmp_path / "a.xlsx", {WORKSHEET: lambda data: data[:-300]})
    assert "cannot be read as .xlsx" in refusal(path, worksheet="Cover")


def test_an_encrypted_workbook_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"))

    assert "is password-protected" in refusal(path)


@pytest.mark.parametrize(
    ("name", "message"), [("a.ods", "OpenDocument"), ("a.xlsb", "binary"), ("a.txt", "ends in .xlsx")]
)
def test_unsupported_formats_are_reported(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"PK")

    assert message in refusal(tmp_path / name)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "got a folder" in refusal(tmp_path)


def test_a_workbook_is_recognised_by_its_signature(tmp_path: Path) -> None:
    """Old workbooks often have the new suffix, and vice versa; macros are ignored."""
    old = (Path(__file__).parent / "files" / "labels.xls").read_bytes()
    (tmp_path / "old.xlsx").write_bytes(old)

    assert len(read_sheet(tmp_path / "old.xlsx").rows) == 4
    assert noisy(read_sheet(save_workbook(workbook(), tmp_path / "new.xls"))) == expected(2)
    assert noisy(read_sheet(save_workbook(workbook(), tmp_path / "macros.xlsm"))) == expected(2)


def test_numbers_dates_and_booleans_are_read_as_by_openpyxl(tmp_path: Path) -> None:
    moments = [pd.Timestamp("2024-02-29"), pd.Timestamp("2024-02-29 12:30:00")]
    values = [1.0, 0.25, True, False, *moments, 12345678, "x"]
    path = tmp_path / "a.xlsx"
    table = pd.DataFrame([(*ROWS[0], value) for value in values], columns=[*HEADER, "Group"], dtype=object)
    table.to_excel(path, index=False)

    other = pd.read_excel(path, dtype=object, engine="calamine")["Group"]
    wanted = [str(int(value)) if isinstance(value, float) and value.is_integer() else str(value) for value in other]

    assert [row.group for row in read_sheet(path).rows] == wanted


cells = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.text("abc ./\\äß<&>\"'_x0041_é合", max_size=12).map(str)
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_any_cells_are_read_as_by_openpyxl(tmp_path: Path, values: list[tuple[object, object]]) -> None:
    escaped = [tuple(f"'{cell}" if str(cell).startswith("=") else cell for cell in pair) for pair in values]
    path = save_workbook(
        workbook(("A", [("Group", *HEADER), *((group, "r", kind, "n") for group, kind in escaped)])),
        tmp_path / "a.xlsx",
    )
    frame = pd.read_excel(path, dtype=object, engine="calamine", keep_default_na=False)

    rows = {row.number: row.group for row in read_sheet(path).rows}

    assert [rows[place] for place in range(2, len(escaped) + 2)] == [
        "" if value is None or value != value else str(value).strip() for value in frame["Group"]
    ]


SEEDS: dict[str, Callable[[Path], object]] = {
    ".xlsx": lambda path: save_workbook(workbook(), path),
    ".csv": lambda path: pd.DataFrame(ROWS, columns=list(HEADER)).to_csv(path, index=False),
    ".parquet": lambda path: pd.DataFrame(ROWS, columns=list(HEADER)).to_parquet(path),
    ".xls": lambda path: path.write_bytes((Path(__file__).parent / "files" / "labels.xls").read_bytes()),
}


edits_of_bytes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8)), max_size=5)


def read_edited(path: Path, edits: list[tuple[float, int, bytes]], extra: bytes | None) -> None:
    SEEDS[path.suffix](path)
    data = bytearray(path.read_bytes())
    for share, cut, put in edits:
        at = int(share * len(data))
        data[at : at + cut] = put
    path.write_bytes(data if extra is None else extra)
    try:
        rows = read_sheet(path).rows
    except SheetError:
        return
    assert rows


@pytest.mark.parametrize("suffix", [".xlsx", ".xls", ".csv"])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=edits_of_bytes, extra=st.binary(max_size=30) | st.none())
def test_any_bytes_are_a_sheet_or_a_sheet_error(
    tmp_path: Path, suffix: str, edits: list[tuple[float, int, bytes]], extra: bytes | None
) -> None:
    read_edited(tmp_path / f"a{suffix}", edits, extra)


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=edits_of_bytes, extra=st.binary(max_size=30) | st.none())
def test_any_bytes_of_parquet_are_a_sheet_or_a_sheet_error(
    tmp_path: Path, edits: list[tuple[float, int, bytes]], extra: bytes | None
) -> None:
    read_edited(tmp_path / "a.parquet", edits, extra)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8)), min_size=1, max_size=4))
def test_any_xml_in_a_workbook_is_a_sheet_or_a_sheet_error(
    tmp_path: Path, edits: list[tuple[float, int, bytes]]
) -> None:
    def edited(data: bytes) -> bytes:
        changed = bytearray(data)
        for share, cut, put in edits:
            at = int(share * len(changed))
            changed[at : at + cut] = put
        return bytes(changed)

    for part in (WORKSHEET, BOOK, RELATIONS, "xl/styles.xml"):
        path = save_workbook(workbook(), tmp_path / "a.xlsx", {part: edited})
        with contextlib.suppress(SheetError):
            assert read_sheet(path).rows


def test_a_file_that_crashes_the_native_reader_is_refused() -> None:
    """pyarrow 26 aborts on this file, which the fuzz test found."""
    assert "cannot be read as .parquet" in refusal(Path(__file__).parent / "files" / "aborting.parquet")
