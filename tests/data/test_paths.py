"""Paths of other systems, and user-defined words for labels."""

import unicodedata
from pathlib import Path

import pytest

from clearcast.core.errors import SheetError
from clearcast.data.images import read_image_metadata
from clearcast.data.sheet import Sheet, SheetColumns, SheetReading, read_sheet
from clearcast.data.vocabulary import LabelVocabulary, find_labels_in_path
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


@pytest.mark.parametrize("named", ["Noisy/OK_1.PNG", "NOISY\\ok_1.png", "noisy/Ok_1.Png"])
def test_capitals_of_another_system_do_not_matter(tmp_path: Path, named: str) -> None:
    sheet = sheet_of(root_with(tmp_path, "noisy/ok_1.png"), named)

    assert paths(sheet) == ["noisy/ok_1.png"]
    assert [note.kind for note in sheet.notes] == ["names of files"]


@pytest.mark.parametrize(("there", "named"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_forms_do_not_matter(tmp_path: Path, there: str, named: str) -> None:
    name = "Prüfung/ok_é.png"
    forms = {"NFC": unicodedata.normalize("NFC", name), "NFD": unicodedata.normalize("NFD", name)}
    file, asked = forms[there], forms[named]

    assert paths(sheet_of(root_with(tmp_path, file), asked)) == [file]


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
    ("named", "prefix", "option"),
    [
        ("C:\\data\\n\\ok_1.png", "c:/Data/", "C:/data"),
        ("\\\\nas01\\qs\\n\\ok_1.png", "\\\\nas01\\qs", "//nas01/qs"),
        ("file:///data/n/ok_1.png", "file:///data", "/data"),
        ("file:///C:/my%20data/n/ok_1.png", "C:\\my data", "'C:/my data'"),
        ("file://nas01/qs/n/ok_1.png", "//nas01/qs/", "//nas01/qs"),
        ("/home/me/n/ok_1.png", "/home/me", "/home/me"),
    ],
)
def test_beginnings_of_other_systems_are_named_and_taken_off(
    tmp_path: Path, named: str, prefix: str, option: str
) -> None:
    root_with(tmp_path, "n/ok_1.png")

    (row,) = sheet_of(tmp_path, named).rows
    (item,) = iterate_source(tmp_path / "Labels.csv", reading=SheetReading(strip_prefix=("elsewhere", prefix)))

    assert row.problems[0].endswith(f"or remove its prefix with --strip-prefix {option}")
    assert paths(sheet_of(tmp_path, named, reading=SheetReading(strip_prefix=(prefix,)))) == ["n/ok_1.png"]
    assert item.read() == b"an image"


def test_the_common_beginning_is_named_if_the_files_are_elsewhere(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, "D:\\a\\b\\n\\ok_1.png", "D:\\a\\b\\m\\ok_2.png")

    assert [note.message for note in sheet.notes] == [
        "2 paths begin with 'D:/a/b'; remove it with --strip-prefix D:/a/b"
    ]


def test_a_beginning_that_is_taken_off_opens_no_way_out(tmp_path: Path) -> None:
    root_with(tmp_path, "secret.png", "root/ok.png")

    (row,) = sheet_of(
        tmp_path / "root", "C:\\data\\..\\secret.png", reading=SheetReading(strip_prefix=("C:\\data",))
    ).rows

    assert row.noisy == ""
    assert "is outside the root" in row.problems[0]


def test_addresses_of_files_below_the_root_need_no_option(tmp_path: Path) -> None:
    root_with(tmp_path, "n/ok 1.png")

    assert paths(sheet_of(tmp_path, f"file://{tmp_path}/n/ok%201.png")) == ["n/ok 1.png"]


def test_a_missing_file_of_a_listed_source_gets_a_suggestion(tmp_path: Path) -> None:
    root_with(tmp_path, "n/ok_1.png")
    sheet_of(tmp_path, "n/ok_I.png", "N/OK_1.png")

    missing, taken = iterate_source(tmp_path / "Labels.csv")

    with pytest.raises(Exception, match=r"did you mean 'n/ok_1\.png'"):
        missing.read()
    assert taken.read() == b"an image"
    assert taken.key == "n/ok_1.png"


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("good/1.png", Label.OK),
        ("part_bad_1.png", Label.DEFECT),
        ("NG/1.png", Label.DEFECT),
        ("i.O./1.png", Label.OK),
        ("n.i.O._3.png", Label.DEFECT),
        ("nio 7.png", Label.DEFECT),
        ("IO/1.png", Label.OK),
        ("不合格/1.png", Label.DEFECT),
        ("合格_1.png", Label.OK),
        ("NOT_OK/1.png", Label.DEFECT),
        ("no good/1.png", Label.DEFECT),
        ("N.OK_1.png", Label.DEFECT),
        ("schlecht1.png", Label.DEFECT),
        ("ＯＫ/1.png", Label.OK),
    ],
)
def test_labels_are_known_in_paths_as_in_columns(path: str, label: Label) -> None:
    assert find_labels_in_path(path) == {label}


@pytest.mark.parametrize(
    "path", ["book/1.png", "P/1.png", "f_1.png", "goods/1.png", "violet.png", "ngultrum.png", "1/0.png", "radio.png"]
)
def test_other_words_of_paths_are_no_labels(path: str) -> None:
    assert find_labels_in_path(path) == frozenset()


def test_values_of_ones_own_outweigh_those_that_are_known() -> None:
    words = LabelVocabulary(("1", "Klasse A"), ("0", "Kratzer"))

    assert [words.parse(text) for text in ("1.0", "0", "klasse-a", "OK")] == [
        *(Label.OK, Label.DEFECT, Label.OK, Label.OK),
    ]
    assert words.in_path("Kratzer_7.png") == {Label.DEFECT}
    assert words.in_path("klasse_a/7.png") == {Label.OK}
    assert words.in_path("1/0.png") == frozenset()  # numbers are everywhere in paths


def test_values_of_ones_own_are_read_and_asked_for_again(tmp_path: Path) -> None:
    reading = SheetReading(ok_values=("A",), defect_values=("B", "C"))

    sheet = sheet_of(tmp_path, "1.png", reading=reading, more=";b")

    assert sheet.rows[0].label is Label.DEFECT
    assert sheet.fingerprint()["reading"] == {"ok_values": ["A"], "defect_values": ["B", "C"]}
    assert SheetReading.from_json(sheet.fingerprint()["reading"]) == sheet.reading


@pytest.mark.parametrize(
    ("ok", "defect", "said"),
    [("A", "a ", "named by both --ok-value and"), ("-", "B", "expected a word that means ok, got an empty text")],
)
def test_ambiguous_label_values_are_refused(ok: str, defect: str, said: str) -> None:
    with pytest.raises(SheetError, match=said):
        LabelVocabulary((ok,), (defect,))


@pytest.mark.parametrize("text", ["sep=;\r\n", "SEP=;\n", "Parts of line 4\n\n", "sep=;\nParts; of line 4\n"])
def test_lines_above_the_header_of_a_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(f"{text}{HEADER}\nok.png;Salt;ok.png\n", encoding="utf-8-sig")

    (row,) = read_sheet(tmp_path / "a.csv").rows

    titles = text.count("\n") - text.lower().count("sep=")
    assert (row.number, row.noisy) == (2 + titles, "ok.png")  # a spreadsheet does not show the line sep=;


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("a" * 2_000_000, "line 3 has more than 1,048,576 characters"),
        ('"' + "a;b\n" * 60_000, "field larger than field limit"),
        ('"a;b', "cannot be read as .csv"),
    ],
)
def test_lines_without_end_are_refused(tmp_path: Path, body: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}\nok.png;Salt;ok.png\n{body}")

    with pytest.raises(SheetError, match=said):
        read_sheet(tmp_path / "a.csv")


def test_links_round_in_circles_and_endless_paths_cost_little(tmp_path: Path) -> None:
    for name in ("a", "A", "b"):
        (tmp_path / name).symlink_to(".")

    sheet = sheet_of(tmp_path, *("/".join("a" * count) + "/ok.png" for count in (20, 60, 3_000, 40_000)))

    assert [row.noisy.count("/") for row in sheet.rows] == [20, 60, 3_000, 40_000]


def test_as_many_beginnings_as_paths_are_not_all_named(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, *(f"/{place}/n/ok.png" for place in range(3_000)))

    assert len(sheet.notes) == 20
    assert all("is outside the root" in row.problems[0] for row in sheet.rows)
