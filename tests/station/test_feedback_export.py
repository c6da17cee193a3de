"""``clearcast feedback``: feedback exported as a sheet that ``check`` accepts."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from openpyxl import Workbook, load_workbook
from typer.testing import CliRunner, Result

from clearcast.cli import build_application
from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import OutputError, SheetError
from clearcast.data.sheet import Sheet, SheetColumns, read_sheet
from clearcast.data.validation import check_sheet
from clearcast.data.vocabulary import find_labels_in_path
from clearcast.noise.registry import NoiseType
from clearcast.station.feedback_export import export_feedback, open_station_data
from clearcast.station.feedback_rows import FeedbackSummary, LeftOutReason, labelled_file_stem
from clearcast.station.image_store import ImageStore
from clearcast.station.log import InspectionLog, open_log
from clearcast.station.records import Feedback, FeedbackLabel, InspectionEntry
from clearcast.types import Label, Verdict

MODEL = "casting 1234abcd"


class StationData:
    """A station's log and images, and feedback on them; times increase."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: InspectionLog = open_log(folder / "log.sqlite")
        self.image_store = ImageStore(folder / "pictures")
        self.log.set_image_folder(folder / "pictures")
        self._now = 1_700_000_000_000

    def now(self) -> int:
        self._now += 1000
        return self._now

    def inspect(
        self,
        data: bytes,
        *labels: FeedbackLabel,
        name: str = "part.png",
        verdict: Verdict = Verdict.OK,
        noise_type: NoiseType | None = NoiseType.NONE,
        denoised: ImageArray | None = None,
    ) -> int:
        """Log an image and feedback on it; return its id."""
        sha256 = self.image_store.put(data)
        entry = InspectionEntry(
            at=self.now(),
            name=name,
            station="line 1",
            sha256=sha256,
            size=len(data),
            width=48,
            height=32,
            verdict=verdict if noise_type else None,
            p_defect=0.3,
            threshold=0.5,
            noise_type=noise_type,
            noise_level="",
            p_noise=0.9,
            ms=5.0,
            model=MODEL,
            error="" if noise_type else "too small",
        )
        (number,) = self.log.write([entry])
        if denoised is not None:
            self.image_store.put_outputs(sha256, MODEL, denoised=denoised, evidence=None)
        for label in labels:
            self.add_feedback(number, label)
        return number

    def add_feedback(self, number: int, label: FeedbackLabel) -> None:
        self.log.add_feedback(number, Feedback(at=self.now(), says=label, note="", operator="Ana"))


def noise_image(number: int) -> ImageArray:
    return np.random.default_rng(number).integers(0, 256, (32, 48)).astype(np.uint8)


def noise_png(number: int) -> bytes:
    return imaging.encode_image(noise_image(number), ".png")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[StationData]:
    station_data = StationData(tmp_path / "station")
    yield station_data
    station_data.log.close()


def export(data: StationData, out: Path, *, beside: Sheet | None = None) -> FeedbackSummary:
    return export_feedback(data.log, data.image_store, out, beside=beside)


def read_labelled(path: Path) -> Sheet:
    return read_sheet(path, columns=SheetColumns(label="Label"))


def run_command(*arguments: object) -> Result:
    return CliRunner().invoke(build_application(["feedback"]), ["feedback", *map(str, arguments)])


def test_images_are_exported_with_the_label_of_their_feedback(data: StationData, tmp_path: Path) -> None:
    data.inspect(noise_png(1), FeedbackLabel.DEFECT, name="cast_ok_7.jpeg")
    data.inspect(noise_png(2), FeedbackLabel.OK, name="cast_def_0_8.png", verdict=Verdict.DEFECT)
    data.inspect(noise_png(3), FeedbackLabel.OK)
    data.inspect(noise_png(4))  # no feedback

    summary = export(data, tmp_path / "Labels.xlsx")

    assert summary.labels == {Label.DEFECT: 1, Label.OK: 2}
    assert summary.contradicting == 2
    assert not summary.left_out
    rows = read_labelled(tmp_path / "Labels.xlsx").rows
    by_content = {(tmp_path / row.noisy).read_bytes(): row for row in rows}
    assert {content: row.label for content, row in by_content.items()} == {
        noise_png(1): Label.DEFECT,
        noise_png(2): Label.OK,
        noise_png(3): Label.OK,
    }
    assert all(row.reference == row.noisy and row.noise_type is NoiseType.NONE for row in rows)


def test_check_accepts_the_sheet_with_and_without_its_label_column(data: StationData, tmp_path: Path) -> None:
    """The words of the paths agree with the label column, whatever the senders' names."""
    for number in range(6):
        label = FeedbackLabel.DEFECT if number % 2 else FeedbackLabel.OK
        data.inspect(noise_png(number), label, name="not_ok_def_front.png", verdict=Verdict.DEFECT)
    out = tmp_path / "Labels.xlsx"
    export(data, out)

    by_column, by_words = read_labelled(out), read_sheet(out)
    assert check_sheet(by_column).findings == ()
    assert check_sheet(by_words).findings == ()
    assert [row.label for row in by_column.rows] == [row.label for row in by_words.rows]


def test_the_latest_feedback_on_any_inspection_of_an_image_counts(data: StationData, tmp_path: Path) -> None:
    first = data.inspect(noise_png(1), FeedbackLabel.OK)
    data.inspect(noise_png(1), FeedbackLabel.OK)  # the same image again
    data.inspect(noise_png(2), FeedbackLabel.DEFECT, FeedbackLabel.BAD_PICTURE, FeedbackLabel.OK)
    data.add_feedback(first, FeedbackLabel.DEFECT)

    summary = export(data, tmp_path / "Labels.xlsx")

    assert summary.labels == {Label.DEFECT: 1, Label.OK: 1}
    rows = read_labelled(tmp_path / "Labels.xlsx").rows
    assert {(tmp_path / row.noisy).read_bytes(): row.label for row in rows} == {
        noise_png(1): Label.DEFECT,
        noise_png(2): Label.OK,
    }


def test_unusable_images_are_left_out_and_counted(data: StationData, tmp_path: Path) -> None:
    data.inspect(noise_png(1), FeedbackLabel.OK)
    data.inspect(noise_png(2), FeedbackLabel.OK, FeedbackLabel.BAD_PICTURE)
    data.inspect(noise_png(4), FeedbackLabel.OK, noise_type=None)
    data.inspect(b"no image", FeedbackLabel.DEFECT)
    data.inspect(noise_png(6), FeedbackLabel.DEFECT)
    shutil.rmtree(data.folder / "pictures" / (gone := hashlib.sha256(noise_png(6)).hexdigest())[:2] / gone)

    summary = export(data, tmp_path / "Labels.xlsx")

    assert summary.labels == {Label.OK: 1}
    assert summary.left_out == dict.fromkeys(
        (LeftOutReason.BAD, LeftOutReason.UNKNOWN, LeftOutReason.UNREADABLE, LeftOutReason.GONE), 1
    )
    assert len(list((tmp_path / "Labels-pictures").rglob("*.*"))) == 1


def test_noisy_images_have_an_unknown_reference_that_check_accepts(data: StationData, tmp_path: Path) -> None:
    data.inspect(noise_png(1), FeedbackLabel.OK, noise_type=NoiseType.SALT_AND_PEPPER, denoised=noise_image(10))
    data.inspect(noise_png(2), FeedbackLabel.DEFECT)

    export(data, tmp_path / "Labels.xlsx")

    sheet = read_labelled(tmp_path / "Labels.xlsx")
    references = {row.noise_type: row.reference for row in sheet.rows}
    assert references[NoiseType.SALT_AND_PEPPER] == ""
    assert (tmp_path / references[NoiseType.NONE]).read_bytes() == noise_png(2)
    assert [finding.kind for finding in check_sheet(sheet).findings] == ["no reference"]
    assert check_sheet(sheet).fit


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "=HYPERLINK(1)",
        "ok\x00def\n.png",
        "C:\\ok\\con.png",
        "a" * 300,
        "",
        "é漢字 (1).JPG",
        "\ud800",
        "okok",
        "defect",
    ],
)
@pytest.mark.parametrize("label", list(Label))
def test_file_names_are_safe_and_contain_the_label(name: str, label: Label) -> None:
    for number in range(200):
        stem = labelled_file_stem(name, label, hashlib.sha256(b"%d" % number).hexdigest())
        assert find_labels_in_path(f"{stem}.png") == {label}
        assert stem.replace("_", "").isalnum()
        assert len(stem) < 65


def test_nothing_is_overwritten_and_failures_leave_no_files(
    data: StationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.inspect(noise_png(1), FeedbackLabel.OK)
    out = tmp_path / "Labels.xlsx"
    (tmp_path / "Labels-pictures").mkdir()
    with pytest.raises(OutputError, match="Labels-pictures exists and will not be overwritten"):
        export(data, out)
    (tmp_path / "Labels-pictures").rmdir()
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"Labels\.xlsx exists and will not be overwritten"):
        export(data, out)
    assert out.read_text() == "mine"
    with pytest.raises(OutputError, match=r"expected a name that ends in \.xlsx"):
        export(data, tmp_path / "Labels.csv")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Workbook, "save", full)
    with pytest.raises(OutputError, match=r"cannot be written.*No space left"):
        export(data, tmp_path / "other.xlsx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Labels.xlsx", "station"]


def test_without_usable_feedback_nothing_is_written(data: StationData, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no image has feedback"):
        export(data, tmp_path / "Labels.xlsx")
    data.inspect(noise_png(1), FeedbackLabel.BAD_PICTURE)
    with pytest.raises(OutputError, match="1: the feedback is 'bad image'"):
        export(data, tmp_path / "Labels.xlsx")
    assert [path.name for path in tmp_path.iterdir()] == ["station"]


@pytest.fixture
def training_sheet(tmp_path: Path) -> Path:
    """The bundle's training sheet: two noisy images with references."""
    rows = []
    for number, label in ((1, "ok"), (2, "def")):
        names = f"noisy/{label}_{number}.png", f"clean/{number}.png"
        imaging.save_image(tmp_path / names[0], noise_image(number))
        imaging.save_image(tmp_path / names[1], noise_image(100 + number))
        rows.append({"Noisy Image": names[0], "Denoise Image": names[1], "Noise Type": "Gaussian", "Group": number})
    pd.DataFrame(rows).to_excel(tmp_path / "Old.xlsx", index=False)
    return tmp_path / "Old.xlsx"


def test_a_sheet_is_continued_and_its_labels_corrected(data: StationData, training_sheet: Path, tmp_path: Path) -> None:
    """A continued sheet keeps its reference images."""
    data.inspect(noise_png(1), FeedbackLabel.DEFECT, noise_type=NoiseType.GAUSSIAN)
    data.inspect(noise_png(2), FeedbackLabel.DEFECT, noise_type=NoiseType.GAUSSIAN)
    data.inspect(noise_png(3), FeedbackLabel.OK, name="new.png")

    summary = export(data, tmp_path / "Labels.xlsx", beside=read_sheet(training_sheet))

    assert (summary.corrected, summary.left_out) == (1, {LeftOutReason.LISTED: 1})
    first, second, third = read_labelled(tmp_path / "Labels.xlsx").rows
    assert (first.label, second.label, third.label) == (Label.DEFECT, Label.DEFECT, Label.OK)
    assert (first.reference, second.reference) == ("clean/1.png", "clean/2.png")
    assert first.noisy.startswith("Labels-pictures/noisy/defect_1_")
    assert (tmp_path / first.noisy).read_bytes() == noise_png(1)
    assert second.noisy == "noisy/def_2.png"
    assert [row.group for row in (first, second, third)] == ["1", "2", ""]
    assert check_sheet(read_labelled(tmp_path / "Labels.xlsx")).fit
    assert [row.label for row in read_sheet(tmp_path / "Labels.xlsx").rows] == [Label.DEFECT, Label.DEFECT, Label.OK]


def test_no_cell_of_the_sheet_is_a_formula(data: StationData, tmp_path: Path) -> None:
    """A continued sheet may have any names and groups; text stays text in a workbook."""
    names = ["=1+1.png", "@SUM(A1);=2.png"]
    for number, name in enumerate(names):
        imaging.save_image(tmp_path / name, noise_image(number))
    group = '=HYPERLINK("http://x")'
    rows = [
        {"Noisy Image": name, "Denoise Image": name, "Noise Type": "None", "Label": "ok", "Group": group}
        for name in names
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "old.csv", index=False)
    known = read_sheet(tmp_path / "old.csv", columns=SheetColumns(label="Label", group="Group"))
    data.inspect(noise_png(7), FeedbackLabel.DEFECT, name="=cmd|' /C calc'!A0.png")
    export(data, tmp_path / "Labels.xlsx", beside=known)

    written = load_workbook(tmp_path / "Labels.xlsx").active
    cells = [cell for row in written.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [row[2].value for row in written.iter_rows(min_row=2, max_row=3)] == names
    assert written["E2"].value == group
    again = read_sheet(tmp_path / "Labels.xlsx", columns=SheetColumns(label="Label", group="Group"))
    assert [row.noisy for row in again.rows][:2] == names


def test_values_that_no_workbook_can_hold_are_reported(data: StationData, tmp_path: Path) -> None:
    data.inspect(noise_png(7), FeedbackLabel.DEFECT)
    imaging.save_image(tmp_path / "bell.png", noise_image(1))
    row = {
        "Noisy Image": "bell.png",
        "Denoise Image": "bell.png",
        "Noise Type": "None",
        "Label": "ok",
        "Group": "a\x07",
    }
    pd.DataFrame([row]).to_csv(tmp_path / "old.csv", index=False)
    sheet = read_sheet(tmp_path / "old.csv", columns=SheetColumns(label="Label", group="Group"))
    with pytest.raises(OutputError, match=r"'a\\x07' has characters that a workbook cannot store"):
        export(data, tmp_path / "Labels.xlsx", beside=sheet)
    assert not (tmp_path / "Labels-pictures").exists()


def test_invalid_sheets_are_not_continued(data: StationData, training_sheet: Path, tmp_path: Path) -> None:
    data.inspect(noise_png(1), FeedbackLabel.OK)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(SheetError, match=r"its image paths are relative to .*; choose one there with --out"):
        export(data, tmp_path / "elsewhere" / "Labels.xlsx", beside=read_sheet(training_sheet))
    sheet = read_sheet(training_sheet)
    faulty = replace(sheet, rows=(replace(sheet.rows[0], problems=("unknown noise type 'x'",)),))
    with pytest.raises(SheetError, match="1 rows are invalid; the first is row 2: unknown noise type 'x'"):
        export(data, tmp_path / "Labels.xlsx", beside=faulty)


def test_the_command_finds_the_log_and_the_images(data: StationData, tmp_path: Path) -> None:
    data.inspect(noise_png(1), FeedbackLabel.DEFECT)
    data.inspect(noise_png(2), FeedbackLabel.OK, noise_type=NoiseType.GAUSSIAN, denoised=noise_image(20))
    data.inspect(noise_png(3), FeedbackLabel.BAD_PICTURE)

    for number, place in enumerate((data.folder, data.folder / "log.sqlite")):
        done = run_command(place, "--out", tmp_path / f"Labels{number}.xlsx")
        assert done.exit_code == 0, done.output
        output = " ".join(done.output.split())
        assert "2 images with feedback: 1 defect, 1 ok; 1 with another verdict." in output
        assert "Left out: 1, since the feedback is 'bad image'." in output


def test_a_missing_log_is_not_created(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "log.sqlite"):
        with pytest.raises(OutputError, match="no such log"):
            open_station_data(str(place))
    assert list(tmp_path.iterdir()) == []


def test_moved_images_are_found_beside_the_log_or_by_option(data: StationData, tmp_path: Path) -> None:
    data.log.close()
    moved = data.folder.rename(tmp_path / "moved")
    open_station_data(str(moved))[0].close()
    (moved / "pictures").rename(tmp_path / "apart")
    with pytest.raises(OutputError, match="the station's images were not found; give their folder with --pictures"):
        open_station_data(str(moved))
    open_station_data(str(moved), tmp_path / "apart")[0].close()
