"""Held-out rows of a sheet for a bundle, even if the sheet is not the file that it was trained on."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import write_manifest
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError, SheetError
from clearcast.data.sheet import read_sheet
from clearcast.data.validation import filter_usable_rows
from clearcast.evaluation.leakage import HeldOutRows, find_held_out_rows
from tests.bundle.manifests import read_manifest
from tests.inference.handmade import write_bundle

QUIET = Console(quiet=True)


def read_table(folder: Path) -> pd.DataFrame:
    return pd.read_excel(folder / "Labels.xlsx", engine="calamine")


def subsets(count: int, tested: int = 0) -> list[str]:
    """Every third row tests, beginning with ``tested``; one row chose a threshold."""
    listed = ["test" if place % 3 == tested else "train" for place in range(count)]
    listed[(tested + 1) % 3] = "validation"
    return listed


GOLDEN_SAMPLE = {
    "file": "golden/0.png",
    "p_defect": None,
    "verdict": None,
    "noise_type": "gaussian",
    "p_noise": {"gaussian": 1.0, "salt_and_pepper": 0.0, "periodic": 0.0, "none": 0.0},
}


def write_trained_bundle(folder: Path, data: Path, *, tested: int = 0, golden: bool = True) -> Path:
    """A bundle that lists the data set's rows, and has a training image as golden sample."""
    bundle = write_bundle(folder)
    sheet = read_sheet(data / "Labels.xlsx")
    names, used = [row.noisy for row in sheet.rows], subsets(len(sheet.rows), tested)
    parts = [f"p{place // 4}" for place in range(len(names))]
    numbers = [row.number for row in sheet.rows]
    pd.DataFrame({"row": numbers, "noisy": names, "part": parts, "split": used}).to_csv(
        bundle / "split.csv", index=False
    )
    if golden:
        place = used.index("train")
        imaging.save_image(bundle / "golden" / "0.png", imaging.load_image(data / names[place], Channels.GREY))
        (bundle / "golden.json").write_text(json.dumps([GOLDEN_SAMPLE]))
    manifest = read_manifest(bundle)
    manifest["trained_on"]["sheet_sha256"] = sheet.sha256
    write_manifest(bundle, manifest)
    return bundle


def held_out_rows(
    bundles: list[Path], sheet: Path, *, root: Path | None = None, groups: Path | None = None
) -> HeldOutRows:
    rows = filter_usable_rows(read_sheet(sheet, root=root), skip_bad=False, console=QUIET, paired=False)
    return find_held_out_rows([open_package(bundle) for bundle in bundles], rows, groups, QUIET)


def test_an_edited_sheet_is_recognised_by_its_images(noisy_folder: Path, tmp_path: Path) -> None:
    bundle = write_trained_bundle(tmp_path / "bundle", noisy_folder)
    table = read_table(noisy_folder)
    table.iloc[::-1].to_csv(tmp_path / "again.csv", index=False)  # in another format, place and order

    held_out = held_out_rows([bundle], tmp_path / "again.csv", root=noisy_folder)

    tested = [name for name, used in zip(table["Noisy Image"], subsets(len(table)), strict=True) if used == "test"]
    assert [row.noisy for row in held_out.rows] == tested[::-1]
    assert held_out.used == (len(table) - len(tested),)
    assert set(held_out.parts) <= {f"p{number}" for number in range(len(table))}  # as the bundle lists them


def test_a_sheet_in_a_parent_folder_is_recognised(noisy_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(noisy_folder, tmp_path / "line" / "castings")
    bundle = write_trained_bundle(tmp_path / "bundle", noisy_folder)
    table = read_table(noisy_folder)
    for column in ("Noisy Image", "Denoise Image"):
        table[column] = "castings/" + table[column]
    table.to_excel(tmp_path / "line" / "all.xlsx", index=False)

    assert len(held_out_rows([bundle], tmp_path / "line" / "all.xlsx").rows) == subsets(len(table)).count("test")


def test_other_images_of_the_same_names_are_not_mistaken(noisy_folder: Path, tmp_path: Path) -> None:
    bundle = write_trained_bundle(tmp_path / "bundle", noisy_folder)
    shutil.copytree(noisy_folder, tmp_path / "other")
    table = read_table(noisy_folder)
    rng = np.random.default_rng(3)
    for name in table["Noisy Image"]:
        imaging.save_image(tmp_path / "other" / name, rng.integers(0, 256, (64, 64)).astype(np.uint8))
    table["Group"] = [f"g{number // 2}" for number in range(len(table))]
    table.to_excel(tmp_path / "other" / "Labels.xlsx", index=False)

    held_out = held_out_rows([bundle], tmp_path / "other" / "Labels.xlsx")

    assert len(held_out.rows) == len(table)
    assert held_out.used == (0,)
    assert list(held_out.parts) == list(table["Group"])


def test_images_that_the_bundle_does_not_know_are_measured(noisy_folder: Path, tmp_path: Path) -> None:
    """A sheet joined with images from production."""
    bundle = write_trained_bundle(tmp_path / "bundle", noisy_folder)
    shutil.copytree(noisy_folder, tmp_path / "joined")
    table = read_table(noisy_folder)
    new = "With-Noise/from_the_line_ok.png"
    imaging.save_image(tmp_path / "joined" / new, np.full((64, 64), 90, np.uint8))
    table.loc[len(table)] = {"Noisy Image": new, "Noise Type": "none", "Denoise Image": new}
    table["Group"] = [f"g{number}" for number in range(len(table))]
    table.to_excel(tmp_path / "joined" / "Labels.xlsx", index=False)

    held_out = held_out_rows([bundle], tmp_path / "joined" / "Labels.xlsx")

    assert new in [row.noisy for row in held_out.rows]
    assert len(held_out.rows) == subsets(len(table) - 1).count("test") + 1
    assert held_out.parts[-1] == f"g{len(table) - 1}"


def test_copies_under_other_names_are_recognised_by_content(noisy_folder: Path, tmp_path: Path) -> None:
    """A station exports corrected images under the names of their hashes."""
    bundle = write_trained_bundle(tmp_path / "bundle", noisy_folder, golden=False)
    split = pd.read_csv(bundle / "split.csv")
    split["sha256"] = [hashlib.sha256((noisy_folder / name).read_bytes()).hexdigest() for name in split["noisy"]]
    split.to_csv(bundle / "split.csv", index=False)
    write_manifest(bundle, open_package(bundle).manifest)
    table = read_table(noisy_folder)
    for number, name in enumerate(table["Noisy Image"]):
        path = tmp_path / "corrected" / f"{number}-ok{Path(name).suffix}"
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(noisy_folder / name, path)
        table.loc[number, "Noisy Image"] = path.name
    table["Denoise Image"], table["Group"] = "unknown", [f"g{number}" for number in range(len(table))]
    table.to_excel(tmp_path / "corrected" / "Labels.xlsx", index=False)

    held_out = held_out_rows([bundle], tmp_path / "corrected" / "Labels.xlsx")

    tested = [number for number, used in enumerate(split["split"]) if used == "test"]
    assert [int(row.noisy.split("-")[0]) for row in held_out.rows] == tested
    assert list(held_out.parts) == [split["part"][number] for number in tested]


def test_training_rows_of_either_bundle_are_left_out(noisy_folder: Path, tmp_path: Path) -> None:
    """One tests the rows 0, 3, ... and the other 1, 4, ...: each was trained on the other's."""
    bundles = [write_trained_bundle(tmp_path / f"bundle{tested}", noisy_folder, tested=tested) for tested in (0, 1)]

    with pytest.raises(SheetError, match="bundle0 and bundle1 were trained on all of its rows"):
        held_out_rows(bundles, noisy_folder / "Labels.xlsx")
    same = held_out_rows([bundles[0], bundles[0]], noisy_folder / "Labels.xlsx")
    assert same.used[0] == same.used[1] == len(read_table(noisy_folder)) - len(same.rows)


def test_given_groups_override_those_of_a_bundle(noisy_folder: Path, tmp_path: Path) -> None:
    bundle = write_trained_bundle(tmp_path / "bundle", noisy_folder, golden=False)
    names = read_table(noisy_folder)["Noisy Image"]
    pd.DataFrame({"path": names, "group": [f"own {number}" for number in range(len(names))]}).to_csv(
        tmp_path / "groups.csv", index=False
    )

    held_out = held_out_rows([bundle], noisy_folder / "Labels.xlsx", groups=tmp_path / "groups.csv")

    assert held_out.parts == tuple(f"own {list(names).index(row.noisy)}" for row in held_out.rows)


def test_an_unreadable_split_is_named(noisy_folder: Path, tmp_path: Path) -> None:
    bundle = write_trained_bundle(tmp_path / "bundle", noisy_folder)
    (bundle / "split.csv").write_text("row,noisy,part,split\n2,a.png,p,exam\n")
    write_manifest(bundle, open_package(bundle).manifest)

    with pytest.raises(OutputError, match=r"bundle: split\.csv cannot be read"):
        held_out_rows([bundle], noisy_folder / "Labels.xlsx")
