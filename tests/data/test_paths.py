"""Paths of other systems, and reading options of a sheet."""

import unicodedata
from pathlib import Path

import pytest

from clearcast.core.errors import SheetError
from clearcast.data.images import read_image_metadata
from clearcast.data.sheet import Sheet, SheetColumns, SheetReading, read_sheet
from clearcast.inference.sources import iterate_source
from clearcast.types import Label

HEADER = "Denoise Image;Noise Type;Noisy Image"
PLAIN = SheetReading()


def root_with(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an image")
    return folder


def sheet_of(folder: Path, *noisy: str, reading: SheetReading = PLAIN, more: str = "") -> Sheet:
    lines = [f"unknown;Salt;{path}{more}" for path in noisy]
    (folder / "Labels.csv").write_text("\n".join([HEADER + (";Label" if more else ""), *lines]), encoding="utf-8")
    columns = SheetColumns(label="Label") if more else SheetColumns()
    return read_sheet(folder / "Labels.csv", reading=reading, columns=columns)


def paths(sheet: Sheet) -> list[str]:
    assert not [row.problems for row in sheet.rows if row.problems]
    return [row.noisy for row in sheet.rows]


@pytest.mark.parametrize("listed_form", ["Noisy/OK_1.PNG", "NOISY\\ok_1.png", "noisy/Ok_1.Png"])
def test_case_does_not_matter(tmp_path: Path, listed_form: str) -> None:
    sheet = sheet_of(root_with(tmp_path, "noisy/ok_1.png"), listed_form)

    assert paths(sheet) == ["noisy/ok_1.png"]
    assert [note.kind for note in sheet.notes] == ["names of files"]


@pytest.mark.parametrize(("stored", "listed_form"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_forms_do_not_matter(tmp_path: Path, stored: str, listed_form: str) -> None:
    name = "Prüfung/ok_é.png"
    forms = {"NFC": unicodedata.normalize("NFC", name), "NFD": unicodedata.normalize("NFD", name)}
    file, listed = forms[stored], forms[listed_form]

    assert paths(sheet_of(root_with(tmp_path, file), listed)) == [file]


def test_the_exact_name_is_used_and_ambiguous_names_are_not(tmp_path: Path) -> None:
    root_with(tmp_path, "n/ok_1.png", "n/OK_1.png", "N/ok_2.png", "n/ok_3.png")

    sheet = sheet_of(tmp_path, "n/OK_1.png", "n/ok_2.png", "N/ok_3.png", "n/Ok_1.png")

    assert paths(sheet) == ["n/OK_1.png", "N/ok_2.png", "n/ok_3.png", "n/Ok_1.png"]
    assert (
        "several files have similar names: 'n/OK_1.png' and 'n/ok_1.png'"
        in read_image_metadata(sheet)["n/Ok_1.png"].message
    )


def test_a_missing_file_gets_a_suggestion(tmp_path: Path) -> None:
    root_with(tmp_path, "noisy/part_ok_1.png")

    metadata = read_image_metadata(sheet_of(tmp_path, "noisy/part_ok_l.png", "export/noisy/part_ok_1.png", "ok.png"))

    assert metadata["noisy/part_ok_l.png"].message.endswith("; did you mean 'noisy/part_ok_1.png'?")
    assert "with --strip-prefix export" in metadata["export/noisy/part_ok_1.png"].message
    assert "did you mean" not in metadata["ok.png"].message


@pytest.mark.parametrize(
    ("listed_form", "prefix", "option"),
    [
        ("C:\\data\\n\\ok_1.png", "c:/Data/", "C:/data"),
        ("\\\\nas01\\qs\\n\\ok_1.png", "\\\\nas01\\qs", "//nas01/qs"),
        ("file:///data/n/ok_1.png", "file:///data", "/data"),
        ("file:///C:/my%20data/n/ok_1.png", "C:\\my data", "'C:/my data'"),
        ("file://nas01/qs/n/ok_1.png", "//nas01/qs/", "//nas01/qs"),
        ("/home/me/n/ok_1.png", "/home/me", "/home/me"),
    ],
)
def test_prefixes_of_other_systems_are_reported_and_removed(
    tmp_path: Path, listed_form: str, prefix: str, option: str
) -> None:
    root_with(tmp_path, "n/ok_1.png")

    (row,) = sheet_of(tmp_path, listed_form).rows
    (item,) = iterate_source(tmp_path / "Labels.csv", reading=SheetReading(strip_prefix=("elsewhere", prefix)))

    assert row.problems[0].endswith(f"or remove its prefix with --strip-prefix {option}")
    assert paths(sheet_of(tmp_path, listed_form, reading=SheetReading(strip_prefix=(prefix,)))) == ["n/ok_1.png"]
    assert item.read() == b"an image"


def test_the_common_prefix_is_reported_if_the_files_are_elsewhere(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, "D:\\a\\b\\n\\ok_1.png", "D:\\a\\b\\m\\ok_2.png")

    assert [note.message for note in sheet.notes] == [
        "2 paths begin with 'D:/a/b'; remove it with --strip-prefix D:/a/b"
    ]


def test_a_removed_prefix_gives_no_access_outside_the_root(tmp_path: Path) -> None:
    root_with(tmp_path, "secret.png", "root/ok.png")

    (row,) = sheet_of(
        tmp_path / "root", "C:\\data\\..\\secret.png", reading=SheetReading(strip_prefix=("C:\\data",))
    ).rows

    assert row.noisy == ""
    assert "is outside the root" in row.problems[0]


def test_urls_of_files_below_the_root_require_no_option(tmp_path: Path) -> None:
    root_with(tmp_path, "n/ok 1.png")

    assert paths(sheet_of(tmp_path, f"file://{tmp_path}/n/ok%201.png")) == ["n/ok 1.png"]


def test_a_missing_file_of_a_listed_source_gets_a_suggestion(tmp_path: Path) -> None:
    root_with(tmp_path, "n/ok_1.png")
    sheet_of(tmp_path, "n/ok_I.png", "N/OK_1.png")

    missing, existing = iterate_source(tmp_path / "Labels.csv")

    with pytest.raises(Exception, match=r"did you mean 'n/ok_1\.png'"):
        missing.read()
    assert existing.read() == b"an image"
    assert existing.key == "n/ok_1.png"


def test_user_values_are_read_and_part_of_the_fingerprint(tmp_path: Path) -> None:
    reading = SheetReading(ok_values=("A",), defect_values=("B", "C"))

    sheet = sheet_of(tmp_path, "1.png", reading=reading, more=";b")

    assert sheet.rows[0].label is Label.DEFECT
    assert sheet.fingerprint()["reading"] == {"ok_values": ["A"], "defect_values": ["B", "C"]}
    assert SheetReading.from_json(sheet.fingerprint()["reading"]) == sheet.reading


def test_circular_links_and_very_long_paths_take_little_time(tmp_path: Path) -> None:
    for name in ("a", "A", "b"):
        (tmp_path / name).symlink_to(".")

    sheet = sheet_of(tmp_path, *("/".join("a" * count) + "/ok.png" for count in (20, 60, 3_000, 40_000)))

    assert [row.noisy.count("/") for row in sheet.rows] == [20, 60, 3_000, 40_000]


def test_of_many_prefixes_only_some_are_reported(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, *(f"/{place}/n/ok.png" for place in range(3_000)))

    assert len(sheet.notes) == 20
    assert all("is outside the root" in row.problems[0] for row in sheet.rows)


@pytest.mark.parametrize("text", ["sep=;\r\n", "SEP=;\n", "Parts of line 4\n\n", "sep=;\nParts; of line 4\n"])
def test_lines_above_the_header_of_a_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(f"{text}{HEADER}\nok.png;Salt;ok.png\n", encoding="utf-8-sig")

    (row,) = read_sheet(tmp_path / "a.csv").rows

    titles = text.count("\n") - text.lower().count("sep=")
    assert (row.number, row.noisy) == (2 + titles, "ok.png")  # a spreadsheet does not show the line sep=;


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("a" * 2_000_000, "line 3 has more than 1,048,576 characters"),
        ('"' + "a;b\n" * 60_000, "field larger than field limit"),
        ('"a;b', "cannot be read as .csv"),
    ],
)
def test_lines_without_end_are_refused(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}\nok.png;Salt;ok.png\n{body}")

    with pytest.raises(SheetError, match=message):
        read_sheet(tmp_path / "a.csv")
