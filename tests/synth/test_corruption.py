import csv
import json
import math
import zipfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import ClearcastError, OutputError, PictureError, RecipeError, SheetError
from clearcast.data.sheet import read_sheet
from clearcast.noise import GaussianRange, ImpulseRange, NoiseRange, PeriodicRange
from clearcast.noise.registry import NoiseType
from clearcast.synth.corruption import NOISE_LEVEL_COLUMNS, DegradationResult, degrade_folder


def rendered(size: int = 48, *, grey: bool = False) -> ImageArray:
    """A bright ring on grey, as a camera would see a turned part."""
    image = np.full((size, size), 110, np.uint8)
    cv2.circle(image, (size // 2, size // 2), size // 3, 190, size // 8)
    return image if grey else np.repeat(image[:, :, None], 3, axis=2)


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        imaging.save_image(folder / name, rendered())
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def labels(out: Path) -> list[tuple[str, ...]]:
    sheet = pd.read_excel(out / "Labels.xlsx", header=None, dtype=str, engine="calamine")
    return [tuple(row) for row in sheet.itertuples(index=False, name=None)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_is_that_of_the_published_data(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "cast_ok_0.jpeg", "cast_def_1.png", "line 2/cast_ok_0.jpg")
    out = tmp_path / "out"
    calls: list[tuple[int, int]] = []

    result = degrade_folder(folder, out, seed=7, progress=lambda done, total: calls.append((done, total)))

    header, *rows = labels(out)
    assert header == ("Denoise Image", "Noise Type", "Noisy Image")
    assert [(reference, noisy) for reference, _, noisy in rows] == [
        ("Without-Noise/cast_def_1.png", "With-Noise/cast_def_1.jpeg"),
        ("Without-Noise/cast_ok_0.jpeg", "With-Noise/cast_ok_0.jpeg"),
        ("Without-Noise/line 2/cast_ok_0.jpg", "With-Noise/line 2/cast_ok_0.jpeg"),
    ]
    assert {kind for _, kind, _ in rows} == {"Gaussian", "Periodic", "Salt"}
    assert not [
        problem for row in read_sheet(out / "Labels.xlsx").rows for problem in row.problems if "label" not in problem
    ]
    for reference, _, noisy in rows:
        assert (out / reference).read_bytes() == (folder / reference.removeprefix("Without-Noise/")).read_bytes()
        clean, noisy_image = (
            imaging.load_image(out / reference, Channels.RGB),
            imaging.load_image(out / noisy, Channels.RGB),
        )
        assert clean.shape == noisy_image.shape
        assert (clean != noisy_image).any()
    assert sorted(path.name for path in out.iterdir()) == ["Labels.xlsx", "With-Noise", "Without-Noise", "levels.csv"]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert result == DegradationResult(
        labels=out / "Labels.xlsx",
        written=dict.fromkeys((NoiseType.GAUSSIAN, NoiseType.PERIODIC, NoiseType.SALT_AND_PEPPER), 1),
        failures=(),
    )


def test_levels_list_the_noise_of_each_image(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", *(f"{at}.png" for at in range(24)))
    out = tmp_path / "out"
    degrade_folder(folder, out, seed=3, jpeg_quality=None)
    rows = table(out / "levels.csv")
    assert tuple(rows[0]) == NOISE_LEVEL_COLUMNS
    assert [row["noisy"] for row in rows] == [noisy for _, _, noisy in labels(out)[1:]]
    for row in rows:
        level = json.loads(row["level_json"])
        stem = Path(row["noisy"]).stem
        clean = imaging.load_image(out / "Without-Noise" / f"{stem}.png", Channels.RGB).astype(np.float64)
        noisy = imaging.load_image(out / row["noisy"], Channels.RGB).astype(np.float64)
        rms = math.sqrt(np.mean((clean - noisy) ** 2))
        assert float(row["psnr_db"]) == pytest.approx(20 * math.log10(255 / rms), abs=1e-3)
        if row["noise_type"] == "gaussian":
            assert float(row["sigma"]) == level["sigma"]
            assert rms / 255 == pytest.approx(level["sigma"], rel=0.15)  # clipping reduces it slightly
        elif row["noise_type"] == "salt_and_pepper":
            impulses = (clean != noisy).all(axis=2).mean()
            assert impulses == pytest.approx(float(row["density"]), abs=6 * math.sqrt(0.15 / 48**2))
        else:
            assert int(row["waves"]) == len(level["waves"])
            strongest = max(level["waves"], key=lambda wave: wave["amplitude"])
            values = [float(row[name]) for name in ("amplitude", "period_px", "orientation_deg", "phase_deg")]
            assert values == [strongest[name] for name in ("amplitude", "period", "orientation", "phase")]
            assert row["sigma"] == ""


def test_the_seed_determines_the_images(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", *(f"{at}.png" for at in range(6)))
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        degrade_folder(folder, tmp_path / name, seed=seed)
    a, b, c = (files(tmp_path / name) for name in "abc")
    for contents in (a, b, c):
        contents.pop("Labels.xlsx")  # a workbook states when it was created
    assert a == b
    noisy = [name for name in a if name.startswith("With-Noise")]
    assert all(a[name] != c[name] for name in noisy)


def test_a_further_image_leaves_the_others_noise_unchanged(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", *(f"{at}.png" for at in range(5)))
    only = {NoiseType.PERIODIC: PeriodicRange()}
    degrade_folder(folder, tmp_path / "before", seed=7, ranges=only)
    fill(folder, "0a.png", "another/first.png")
    degrade_folder(folder, tmp_path / "after", seed=7, ranges=only)
    before, after = files(tmp_path / "before/With-Noise"), files(tmp_path / "after/With-Noise")
    assert before.items() <= after.items()
    assert len(after) == 7


@pytest.mark.parametrize("count", [1, 5, 9, 10])
def test_types_are_balanced(tmp_path: Path, count: int) -> None:
    folder = fill(tmp_path / "in", *(f"{at}.png" for at in range(count)))
    written = degrade_folder(folder, tmp_path / "out", seed=7).written
    assert sum(written.values()) == count
    assert max(written.values()) - min([*written.values(), *[0] * (3 - len(written))]) <= 1
    kinds = Counter(kind for _, kind, _ in labels(tmp_path / "out")[1:])
    assert sorted(kinds.values()) == sorted(written.values())


def test_unusable_images_are_reported_and_do_not_stop_the_run(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "good.jpeg", "cut.jpeg")
    whole = (folder / "cut.jpeg").read_bytes()
    (folder / "cut.jpeg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "text.bmp").write_text("no image")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "deep.png")
    Image.new("RGBA", (8, 8)).save(folder / "clear.png")
    out = tmp_path / "out"

    result = degrade_folder(folder, out, seed=7)

    assert sum(result.written.values()) == 1
    errors = [(row["path"], row["error"]) for row in table(out / "errors.csv")]
    assert tuple(errors) == result.failures
    reasons = dict(errors)
    assert sorted(reasons) == ["clear.png", "cut.jpeg", "deep.png", "empty.png", "text.bmp"]
    assert "truncated" in reasons["cut.jpeg"]
    assert "empty" in reasons["empty.png"]
    assert "16 bits" in reasons["deep.png"]
    assert "transparency" in reasons["clear.png"]
    assert len(labels(out)) == 2
    assert len(files(out / "With-Noise")) == len(files(out / "Without-Noise")) == 1


def test_images_that_share_a_stem_do_not_overwrite_each_other(tmp_path: Path) -> None:
    names = ["a.png", "a.jpg", "a.png.jpeg", "a.png.jpeg.bmp", "B.png", "b.jpg", "c.png", "sub/c.jpg"]
    folder = fill(tmp_path / "in", *names)
    out = tmp_path / "out"
    degrade_folder(folder, out, seed=7)
    rows = labels(out)[1:]
    assert sorted(reference for reference, _, _ in rows) == sorted(f"Without-Noise/{name}" for name in names)
    noisy = [name for _, _, name in rows]
    assert len({name.casefold() for name in noisy}) == len(names)
    assert sorted(files(out)) == sorted([*noisy, *(row[0] for row in rows), "Labels.xlsx", "levels.csv"])
    assert {"With-Noise/c.jpeg", "With-Noise/sub/c.jpeg", "With-Noise/a.jpg.jpeg"} <= set(noisy)


def test_channels_follow_the_file(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "colour.png")
    imaging.save_image(folder / "grey.png", rendered(grey=True))
    Image.fromarray(rendered()).convert("P").save(folder / "palette.png")
    out = tmp_path / "out"
    degrade_folder(folder, out, seed=7, ranges={NoiseType.GAUSSIAN: GaussianRange()})
    modes = {name: imaging.probe_image(data).mode for name, data in files(out / "With-Noise").items()}
    assert modes == {"colour.jpeg": "RGB", "grey.jpeg": "L", "palette.jpeg": "RGB"}
    colour = imaging.load_image(out / "With-Noise/colour.jpeg", Channels.RGB)
    assert (colour[:, :, 0] != colour[:, :, 2]).any()


def test_a_rotated_photograph_and_its_noisy_image_match(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(rendered()[:30]).save(folder / "held.jpg", exif=exif)
    degrade_folder(folder, tmp_path / "out", seed=7)
    noisy = imaging.load_image(tmp_path / "out/With-Noise/held.jpeg", Channels.RGB)
    assert noisy.shape == imaging.load_image(tmp_path / "out/Without-Noise/held.jpg", Channels.RGB).shape == (48, 30, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 2)])
def test_tiny_images_get_noise(tmp_path: Path, size: tuple[int, int]) -> None:
    for at in range(12):
        imaging.save_image(tmp_path / f"in/{at}.png", np.full((*size, 3), 128, np.uint8))
    assert not degrade_folder(tmp_path / "in", tmp_path / "out", seed=7).failures


def test_names_are_text_and_never_a_formula(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "=1+1.png", "@sum, x.png", "Wärme 件.png")
    degrade_folder(folder, tmp_path / "out", seed=7)
    with zipfile.ZipFile(tmp_path / "out/Labels.xlsx") as book:
        assert b"<f>" not in book.read("xl/worksheets/sheet1.xml")
    assert sorted(row[2] for row in labels(tmp_path / "out")[1:]) == [
        "With-Noise/=1+1.jpeg",
        "With-Noise/@sum, x.jpeg",
        "With-Noise/Wärme 件.jpeg",
    ]


def test_names_that_a_sheet_cannot_store_are_reported(tmp_path: Path) -> None:
    names = ["bell\x07.png", "new\nline.png", "back\\slash.png", "\udcff.png"]
    try:
        folder = fill(tmp_path / "in", "good.png", *names)
    except (OSError, UnicodeError):
        pytest.skip("this file system refuses such names itself")
    result = degrade_folder(folder, tmp_path / "out", seed=7)
    assert [path for path, _ in result.failures] == sorted(names)
    assert all("rename the file" in reason for _, reason in result.failures)
    assert len(table(tmp_path / "out/errors.csv")) == 4
    assert len(labels(tmp_path / "out")) == 2


@pytest.fixture
def disks(tmp_path: Path) -> Path:
    folder = fill(tmp_path / "disks", "pictures/0.png", "pictures/1.png", "pictures/2.png", "masks/0.png")
    (folder / "parts.csv").write_text(
        "path,part,label\npictures/0.png,A,ok\npictures/1.png,A,ok\npictures/2.png,B,ok\n"
    )
    return folder


def test_the_listed_images_of_a_disks_folder_are_used_with_their_parts(disks: Path, tmp_path: Path) -> None:
    with (disks / "parts.csv").open("a") as lines:
        lines.write("pictures/lost.png,C,ok\n../outside.png,C,ok\n")
    fill(tmp_path, "outside.png")
    out = tmp_path / "out"
    result = degrade_folder(disks, out, seed=7)
    assert [path for path, _ in result.failures] == ["../outside.png", "pictures/lost.png"]
    assert sorted(files(out / "Without-Noise")) == ["pictures/0.png", "pictures/1.png", "pictures/2.png"]
    assert [tuple(row.values()) for row in table(out / "groups.csv")] == [
        ("With-Noise/pictures/0.jpeg", "A"),
        ("With-Noise/pictures/1.jpeg", "A"),
        ("With-Noise/pictures/2.jpeg", "B"),
    ]


def test_the_images_folder_alone_keeps_its_parts(disks: Path, tmp_path: Path) -> None:
    degrade_folder(disks / "pictures", tmp_path / "out", seed=7)
    assert [tuple(row.values()) for row in table(tmp_path / "out/groups.csv")] == [
        ("With-Noise/0.jpeg", "A"),
        ("With-Noise/1.jpeg", "A"),
        ("With-Noise/2.jpeg", "B"),
    ]


def test_a_parts_table_with_other_columns_is_ignored(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "0.png")
    (folder / "parts.csv").write_text("number,price\n1,2\n")
    degrade_folder(folder, tmp_path / "out", seed=7)
    assert not (tmp_path / "out/groups.csv").exists()
    (folder / "parts.csv").write_bytes(b"path,part\n\xff\xfe,1\n")
    with pytest.raises(SheetError, match=r"parts.csv: cannot be read"):
        degrade_folder(folder, tmp_path / "more", seed=7)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="nowhere: no such folder"):
        degrade_folder(tmp_path / "nowhere", tmp_path / "out", seed=7)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").touch()
    with pytest.raises(
        PictureError, match=r"in: no images found; expected files in \.bmp, \.dib, .*\.jpeg, .* \.txt 1$"
    ):
        degrade_folder(tmp_path / "in", tmp_path / "out", seed=7)
    assert not (tmp_path / "out").exists()


def test_no_sheet_is_written_if_no_image_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/empty.png").touch()
    with pytest.raises(PictureError, match=r"none of 1 images can be used; see .*errors\.csv"):
        degrade_folder(tmp_path / "in", tmp_path / "out", seed=7)
    assert sorted(files(tmp_path / "out")) == ["errors.csv"]


def test_outputs_are_not_overwritten_or_read_as_inputs(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "0.png")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    with pytest.raises(OutputError, match="full: is not empty"):
        degrade_folder(folder, tmp_path / "full", seed=7)
    with pytest.raises(OutputError, match=r"notes\.txt: expected a new or empty folder, got a file"):
        degrade_folder(folder, tmp_path / "full/notes.txt", seed=7)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    for inside in (folder, folder / "noisy", tmp_path / "in/../in/noisy", tmp_path / "link/noisy"):
        with pytest.raises(OutputError, match="lies inside"):
            degrade_folder(folder, inside, seed=7)
    assert list(files(folder)) == ["0.png"]
    (tmp_path / "new").mkdir()
    assert degrade_folder(folder, tmp_path / "new", seed=7).labels.is_file()  # an empty folder is fine


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "in", "0.png")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OutputError, match=r"out: cannot be written \(.*No space left"):
        degrade_folder(folder, tmp_path / "out", seed=7)


def test_an_interrupted_run_does_not_look_finished(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "0.png", "1.png")

    def stop(done: int, total: int) -> None:
        if done < total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        degrade_folder(folder, tmp_path / "out", seed=7, progress=stop)
    assert not (tmp_path / "out/Labels.xlsx").exists()


def test_invalid_options_are_refused(tmp_path: Path) -> None:
    folder, out = fill(tmp_path / "in", "0.png"), tmp_path / "out"
    with pytest.raises(RecipeError, match="expected a seed of 0 or more, got -1"):
        degrade_folder(folder, out, seed=-1)
    with pytest.raises(RecipeError, match="jpeg_quality: expected a number from 1 to 100, got 101"):
        degrade_folder(folder, out, seed=7, jpeg_quality=101)
    with pytest.raises(RecipeError, match="expected noise types from gaussian, periodic, salt_and_pepper, got none"):
        degrade_folder(folder, out, seed=7, ranges={NoiseType.NONE: GaussianRange()})
    with pytest.raises(ClearcastError, match=r"expected noise types from .*, got nothing"):
        degrade_folder(folder, out, seed=7, ranges={})
    with pytest.raises(RecipeError, match="range of periodic: expected a PeriodicRange, got a GaussianRange"):
        degrade_folder(folder, out, seed=7, ranges={NoiseType.PERIODIC: GaussianRange()})
    assert not out.exists()


def test_chosen_noise_types_are_assigned_with_the_chosen_ranges(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", *(f"{at}.png" for at in range(6)))
    ranges: dict[NoiseType, NoiseRange] = {
        NoiseType.SALT_AND_PEPPER: ImpulseRange(density=(0.5, 0.5), salt_share=(1, 1)),
        NoiseType.GAUSSIAN: GaussianRange(sigma=(0.01, 0.01), per_channel=False),
    }

    written = degrade_folder(folder, tmp_path / "out", seed=7, ranges=ranges).written

    assert written == {NoiseType.GAUSSIAN: 3, NoiseType.SALT_AND_PEPPER: 3}
    levels = {row["level_json"] for row in table(tmp_path / "out/levels.csv")}
    assert levels == {'{"sigma": 0.01, "per_channel": false}', '{"density": 0.5, "salt_share": 1.0}'}
    degrade_folder(folder, tmp_path / "other", seed=7, ranges=dict(reversed(ranges.items())))
    assert files(tmp_path / "out/With-Noise") == files(tmp_path / "other/With-Noise")  # in any order


def test_a_name_too_long_for_its_noisy_image_is_reported_without_leftovers(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "0.png", "x" * 251 + ".png")
    out = tmp_path / "out"

    result = degrade_folder(folder, out, seed=7)

    assert [path for path, _ in result.failures] == ["x" * 251 + ".png"]
    assert "too long for the file system" in result.failures[0][1]
    assert sorted(files(out)) == [
        *("Labels.xlsx", "With-Noise/0.jpeg", "Without-Noise/0.png", "errors.csv", "levels.csv")
    ]
    assert not degrade_folder(folder, tmp_path / "png", seed=7, jpeg_quality=None).failures


def test_an_image_too_long_for_jpeg_is_reported(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "0.png")
    imaging.save_image(folder / "scan.png", np.zeros((2, 65_600), np.uint8))
    result = degrade_folder(folder, tmp_path / "out", seed=7)
    assert [path for path, _ in result.failures] == ["scan.png"]
    assert "allows at most 65,500" in result.failures[0][1]
    assert not degrade_folder(folder, tmp_path / "png", seed=7, jpeg_quality=None).failures
