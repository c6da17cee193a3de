"""Validation of a sheet, its findings as files, and usable rows."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import OutputError, PictureFault, SheetError
from clearcast.data.images import read_image_metadata
from clearcast.data.row_checks import FindingSeverity, SheetFinding
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.data.validation import (
    SheetCheck,
    check_sheet,
    filter_usable_rows,
    find_unusable_rows,
    require_findings_folder,
    write_findings,
)
from clearcast.noise.registry import NoiseType
from clearcast.types import Label

KINDS = (NoiseType.GAUSSIAN, NoiseType.SALT_AND_PEPPER, NoiseType.PERIODIC)


def random_image(seed: int, height: int = 12, width: int = 16) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    """Twelve valid rows, each with its own noisy image and reference."""
    rows = []
    for number in range(2, 14):
        label = Label.DEFECT if number % 2 else Label.OK
        rows.append(
            SheetRow(
                number=number,
                noisy=f"n/{label}_{number}.png",
                noise_type=KINDS[number % 3],
                reference=f"c/{label}_{number}.png",
                label=label,
            )
        )
        imaging.save_image(tmp_path / rows[-1].noisy, random_image(number))
        imaging.save_image(tmp_path / rows[-1].reference, random_image(100 + number))
    return Sheet(path=tmp_path / "Labels.xlsx", root=tmp_path, sha256="", rows=tuple(rows))


def changed(sheet: Sheet, number: int, **changes: object) -> Sheet:
    """Return the sheet with one row, by its number, changed."""
    rows = (replace(row, **changes) if row.number == number else row for row in sheet.rows)  # type: ignore[arg-type]
    return replace(sheet, rows=tuple(rows))


def only(check: SheetCheck) -> SheetFinding:
    assert len(check.findings) == 1, check.findings
    return check.findings[0]


def test_a_valid_sheet_has_no_findings_and_is_summarised(sheet: Sheet) -> None:
    progress_calls: list[tuple[int, int]] = []

    check = check_sheet(sheet, progress=lambda done, total: progress_calls.append((done, total)))

    assert check.findings == ()
    assert check.fit
    assert (check.rows, check.pictures) == (12, 24)
    assert check.labels == {"ok": 6, "defect": 6}
    assert check.noise_types == {"periodic": 4, "gaussian": 4, "salt_and_pepper": 4}
    assert (check.sizes, check.modes, check.formats) == ({"16x12": 24}, {"RGB": 24}, {"PNG": 24})
    assert progress_calls == [(done, 24) for done in range(1, 25)]


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def rename_text(path: Path) -> None:
    path.write_text("a text")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def cut_jpeg(path: Path) -> None:
    data = imaging.encode_image(random_image(0), ".jpeg")
    path.write_bytes(data[: len(data) * 3 // 4])


def cut_at_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def deepen(path: Path) -> None:
    Image.fromarray(np.full((12, 16), 4000, np.uint16)).save(path, "TIFF")


def make_transparent(path: Path) -> None:
    Image.new("RGBA", (16, 12), (1, 2, 3, 4)).save(path, "PNG")


@pytest.mark.parametrize("role", ["noisy", "reference"])
@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (remove, PictureFault.MISSING),
        (empty, PictureFault.EMPTY),
        (rename_text, PictureFault.UNREADABLE),
        (make_folder, PictureFault.UNREADABLE),
        (cut_jpeg, PictureFault.TRUNCATED),
        (cut_at_the_end, PictureFault.TRUNCATED),
        (deepen, PictureFault.UNSUPPORTED),
        (make_transparent, PictureFault.UNSUPPORTED),
    ],
)
def test_a_broken_image_is_an_error_with_row_and_path(
    sheet: Sheet, role: str, damage: Callable[[Path], None], fault: PictureFault
) -> None:
    path = getattr(sheet.rows[3], role)
    damage(sheet.resolve(path))

    finding = only(check := check_sheet(sheet))

    assert (finding.severity, finding.kind) == (FindingSeverity.ERROR, f"{fault} picture")
    assert (finding.row, finding.path) == (5, path)
    assert finding.message.startswith(f"{sheet.resolve(path)}: ")
    assert not check.fit
    assert sum(check.sizes.values()) == 23


def test_all_findings_are_reported_at_once(sheet: Sheet) -> None:
    remove(sheet.resolve(sheet.rows[0].noisy))
    empty(sheet.resolve(sheet.rows[1].reference))
    cut_jpeg(sheet.resolve(sheet.rows[2].noisy))
    imaging.save_image(sheet.resolve(sheet.rows[3].noisy), random_image(1, 10, 16))
    sheet = changed(sheet, 6, noise_type=None, problems=("unknown noise type 'x'",))
    sheet = replace(sheet, rows=(*sheet.rows, replace(sheet.rows[5], number=14)))

    check = check_sheet(sheet)

    assert [(finding.kind, finding.row) for finding in check.findings] == [
        ("empty picture", 3),
        ("listed twice", 14),
        ("missing picture", 2),
        ("row not understood", 6),
        ("truncated picture", 4),
        ("unequal pair", 5),
        ("mixed sizes", None),
    ]
    assert check.noise_types["unknown"] == 1


def test_each_problem_of_a_row_is_an_error(sheet: Sheet) -> None:
    sheet = changed(
        sheet, 4, noisy="", label=None, problems=("the path of the noisy image is missing", "unknown label 'x'")
    )

    check = check_sheet(sheet)

    assert [finding.message for finding in check.findings] == [
        "the path of the noisy image is missing",
        "unknown label 'x'",
    ]
    assert {finding.row for finding in check.findings} == {4}
    assert check.labels == {"defect": 6, "ok": 5, "unknown": 1}
    assert check.pictures == 23


def test_a_row_listed_twice_is_an_error(sheet: Sheet) -> None:
    finding = only(check_sheet(replace(sheet, rows=(*sheet.rows, replace(sheet.rows[0], number=14)))))

    assert (finding.severity, finding.kind, finding.row) == (FindingSeverity.ERROR, "listed twice", 14)
    assert "row 2" in finding.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": Label.DEFECT}, "label ok / defect"),
        ({"noise_type": NoiseType.NONE}, "noise type periodic / none"),
        ({"reference": "c/defect_3.png"}, "reference c/ok_2.png / c/defect_3.png"),
    ],
)
def test_rows_of_one_noisy_image_that_differ_contradict(sheet: Sheet, changes: dict[str, object], message: str) -> None:
    duplicate = replace(sheet.rows[0], number=20, **changes)  # type: ignore[arg-type]

    errors = [
        finding
        for finding in check_sheet(replace(sheet, rows=(*sheet.rows, duplicate))).findings
        if finding.severity is FindingSeverity.ERROR
    ]

    assert [(finding.kind, finding.row) for finding in errors] == [("contradiction", 2), ("contradiction", 20)]
    assert [finding.message for finding in errors] == [f"row {row} contradicts it: {message}" for row in (20, 2)]


def test_one_reference_cannot_be_ok_and_defect(sheet: Sheet) -> None:
    findings = check_sheet(changed(sheet, 3, reference=sheet.rows[0].reference)).findings

    assert [(finding.severity, finding.kind, finding.row) for finding in findings] == [
        (FindingSeverity.ERROR, "contradiction", row) for row in (2, 3)
    ]
    assert findings[1].message == "row 2 has the same reference, but another label: label ok / defect"


def test_several_noisy_images_can_share_a_reference(sheet: Sheet) -> None:
    assert check_sheet(changed(sheet, 4, reference=sheet.rows[0].reference)).findings == ()


def test_unknown_values_contradict_nothing(sheet: Sheet) -> None:
    bad = replace(sheet.rows[0], number=20, noise_type=None, problems=("unknown noise type 'x'",))

    kinds = [finding.kind for finding in check_sheet(replace(sheet, rows=(bad, *sheet.rows))).findings]

    assert "contradiction" not in kinds


@pytest.mark.parametrize("role", ["noisy", "reference"])
def test_byte_identical_copies_are_warnings(sheet: Sheet, role: str) -> None:
    original, copy = getattr(sheet.rows[0], role), getattr(sheet.rows[6], role)
    sheet.resolve(copy).write_bytes(sheet.resolve(original).read_bytes())

    finding = only(check := check_sheet(sheet))

    assert (finding.severity, finding.kind) == (FindingSeverity.WARNING, "identical copy")
    assert (finding.row, finding.path) == (8, copy)
    assert original in finding.message
    assert check.fit


@pytest.mark.parametrize(("role", "number"), [("noisy", 3), ("reference", 3), ("noisy", 4)])
def test_byte_identical_images_of_another_label_or_noise_contradict(sheet: Sheet, role: str, number: int) -> None:
    row = next(row for row in sheet.rows if row.number == number)
    sheet.resolve(getattr(row, role)).write_bytes(sheet.resolve(getattr(sheet.rows[0], role)).read_bytes())

    first, second = check_sheet(sheet).findings

    assert (second.severity, second.kind, second.row) == (FindingSeverity.ERROR, "contradiction", number)
    assert first.row == 2
    assert "byte for byte" in first.message


def test_a_noisy_image_identical_to_its_reference_is_a_warning(sheet: Sheet) -> None:
    row = sheet.rows[0]
    sheet.resolve(row.noisy).write_bytes(sheet.resolve(row.reference).read_bytes())

    assert "identical to its reference" in only(check_sheet(sheet)).message
    rare = check_sheet(changed(sheet, 2, noise_type=NoiseType.NONE))
    assert [finding.kind for finding in rare.findings] == ["rare class"]


def test_a_sheet_whose_noisy_images_are_mostly_their_references_is_an_error(sheet: Sheet) -> None:
    def whole(check: SheetCheck) -> list[SheetFinding]:
        return [finding for finding in check.findings if finding.row is None]

    for row in sheet.rows[:6]:
        sheet.resolve(row.noisy).write_bytes(sheet.resolve(row.reference).read_bytes())
    half = check_sheet(sheet)
    assert (whole(half), len(half.findings), half.fit) == ([], 6, True)

    sheet.resolve(sheet.rows[6].noisy).write_bytes(sheet.resolve(sheet.rows[6].reference).read_bytes())
    most = check_sheet(sheet)
    (finding,) = whole(most)
    assert (finding.severity, finding.kind) == (FindingSeverity.ERROR, "no noise")
    assert finding.message.startswith("7 of 12 noisy images are identical to their references, byte for byte")
    assert {each.severity for each in most.findings if each.row} == {FindingSeverity.WARNING}
    assert not find_unusable_rows(sheet, read_image_metadata(sheet))


def test_a_sheet_of_noise_type_none_is_valid(sheet: Sheet) -> None:
    rows = tuple(replace(row, noisy=row.reference, noise_type=NoiseType.NONE) for row in sheet.rows)

    assert check_sheet(replace(sheet, rows=rows)).fit


def test_both_images_of_a_pair_must_have_the_same_size(sheet: Sheet) -> None:
    imaging.save_image(sheet.resolve(sheet.rows[0].reference), random_image(1, 16, 12))

    errors = find_unusable_rows(sheet, read_image_metadata(sheet))

    assert [(finding.kind, finding.row) for finding in errors] == [("unequal pair", 2)]
    assert "16x12" in errors[0].message
    assert "12x16" in errors[0].message


def test_sizes_are_those_after_the_exif_orientation(sheet: Sheet) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter turn
    Image.fromarray(random_image(1, 16, 12)).save(sheet.resolve(sheet.rows[0].reference), "JPEG", exif=exif)

    check = check_sheet(sheet)

    assert check.findings == ()
    assert check.sizes == {"16x12": 24}
    assert check.formats == {"PNG": 23, "JPEG": 1}


def test_several_sizes_and_modes_are_warnings(sheet: Sheet) -> None:
    for seed, path in enumerate((sheet.rows[0].noisy, sheet.rows[0].reference)):
        imaging.save_image(sheet.resolve(path), random_image(seed, 20, 20)[:, :, 0])

    check = check_sheet(sheet)

    assert [finding.kind for finding in check.findings] == ["mixed modes", "mixed sizes"]
    assert [finding.message for finding in check.findings] == [
        "the images have 2 modes: 22 of RGB, 2 of L",
        "the images have 2 sizes: 22 of 16x12, 2 of 20x20",
    ]
    assert check.fit


def test_many_sizes_are_summarised(sheet: Sheet) -> None:
    for seed, row in enumerate(sheet.rows[:8]):
        for path in (row.noisy, row.reference):
            imaging.save_image(sheet.resolve(path), random_image(seed, 20 + seed, 20))

    message = next(finding.message for finding in check_sheet(sheet).findings if finding.kind == "mixed sizes")

    assert message.startswith("the images have 9 sizes: 8 of 16x12, 2 of ")
    assert message.endswith(", and 3 others (6)")


def test_a_label_without_rows_is_an_error(sheet: Sheet) -> None:
    check = check_sheet(replace(sheet, rows=sheet.rows[::2]))

    assert only(check).message == "no row has the label defect; a classifier requires images of each class"
    assert not check.fit


def test_rare_classes_are_warnings(sheet: Sheet) -> None:
    for row in sheet.rows[1:]:
        sheet = changed(sheet, row.number, noise_type=NoiseType.GAUSSIAN, label=Label.DEFECT)

    check = check_sheet(sheet)

    assert [finding.message for finding in check.findings] == [
        "only 1 of 12 rows have the label ok",
        "only 1 of 12 rows have the noise type periodic",
    ]
    assert {finding.severity for finding in check.findings} == {FindingSeverity.WARNING}


def test_each_image_is_read_once_however_often_it_is_named(sheet: Sheet) -> None:
    shared = replace(sheet, rows=tuple(replace(row, reference="c/ok_2.png") for row in sheet.rows[::2]))

    assert list(read_image_metadata(shared)) == ["n/ok_2.png", "c/ok_2.png", *(row.noisy for row in shared.rows[1:])]


def test_a_broken_reference_makes_every_row_that_names_it_unusable(sheet: Sheet) -> None:
    shared = replace(sheet, rows=tuple(replace(row, reference="c/ok_2.png") for row in sheet.rows[::2]))
    remove(sheet.resolve("c/ok_2.png"))

    assert [finding.row for finding in find_unusable_rows(shared, read_image_metadata(shared))] == [2, 4, 6, 8, 10, 12]


def test_warnings_do_not_make_a_row_unusable(sheet: Sheet) -> None:
    sheet.resolve(sheet.rows[6].noisy).write_bytes(sheet.resolve(sheet.rows[0].noisy).read_bytes())

    assert find_unusable_rows(sheet, read_image_metadata(sheet)) == []


def test_an_unknown_reference_is_reported_once_and_refused_if_required(sheet: Sheet) -> None:
    unpaired = changed(changed(sheet, 3, reference=""), 4, reference="")

    check = check_sheet(unpaired)

    assert only(check).message.startswith("2 of 12 rows have an unknown reference")
    assert check.fit
    quiet = Console(quiet=True)
    with pytest.raises(SheetError, match=r"2 of 12 rows cannot be used:\n  row 3: its reference is unknown"):
        filter_usable_rows(unpaired, skip_bad=False, console=quiet)
    assert len(filter_usable_rows(unpaired, skip_bad=True, console=quiet).sheet.rows) == 10
    rows = filter_usable_rows(unpaired, skip_bad=False, console=quiet, paired=False)
    assert len(rows.sheet.rows) == 12
    assert len(set(rows.hashes()["reference"])) == 12


CHECK = SheetCheck(
    findings=(
        SheetFinding(
            severity=FindingSeverity.ERROR, kind="missing picture", message='ü, "quoted"', row=7, path="n/ok, 1.png"
        ),
        SheetFinding(severity=FindingSeverity.WARNING, kind="mixed sizes", message="several sizes"),
    ),
    rows=3,
    pictures=6,
    labels={"ok": 2, "defect": 1},
    noise_types={"gaussian": 3},
    sizes={"16x12": 5, "8x8": 1},
    modes={"RGB": 6},
    formats={"PNG": 6},
)


def test_findings_are_written_as_a_table_and_counts(tmp_path: Path) -> None:
    out = tmp_path / "a" / "findings"

    write_findings(CHECK, out)

    with (out / "findings.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert lines == [
        ["severity", "kind", "row", "path", "message"],
        ["error", "missing picture", "7", "n/ok, 1.png", 'ü, "quoted"'],
        ["warning", "mixed sizes", "", "", "several sizes"],
    ]
    counts = json.loads((out / "check.json").read_text("utf-8"))
    assert counts.pop("fit") is False
    assert counts == {name: getattr(CHECK, name) for name in counts}
    assert set(counts) == {"rows", "pictures", "labels", "noise_types", "sizes", "modes", "formats"}


@pytest.mark.parametrize("existing", ["findings.csv", "check.json"])
def test_findings_are_replaced_only_when_allowed(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("old")

    with pytest.raises(OutputError, match=rf"{existing} exists; .*--force"):
        require_findings_folder(tmp_path, force=False)
    with pytest.raises(OutputError, match=rf"{existing} exists; .*--force"):
        write_findings(CHECK, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "old")]

    require_findings_folder(tmp_path, force=True)
    write_findings(CHECK, tmp_path, force=True)
    assert (tmp_path / "findings.csv").read_text("utf-8").startswith("severity,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check.json", "findings.csv"]


def test_the_check_of_a_folder_does_not_create_it(tmp_path: Path) -> None:
    require_findings_folder(tmp_path / "a" / "b", force=False)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("force", [False, True])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, force: bool) -> None:
    (tmp_path / "out").write_text("a file")

    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(OutputError, match=r"out: expected a folder for the findings, got a file"):
            require_findings_folder(out, force=force)
        with pytest.raises(OutputError, match=r"out: expected a folder for the findings, got a file"):
            write_findings(CHECK, out, force=force)


def test_a_full_disk_leaves_the_old_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_findings(CHECK, tmp_path)
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv.DictWriter, "writerows", full)
    with pytest.raises(OutputError, match=r"cannot be written .*No space left"):
        write_findings(CHECK, tmp_path, force=True)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == before


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be opened"):
        require_findings_folder(tmp_path / ("x" * 300), force=False)
