"""Command ``check``: groups as files and as a page."""

from pathlib import Path

import pandas as pd
import pytest

from clearcast.cli.data import check


def read_groups(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "groups.csv")


def test_groups_of_the_sheet_are_written(noisy_folder: Path, tmp_path: Path) -> None:
    sheet = pd.read_excel(noisy_folder / "Labels.xlsx", engine="calamine")
    sheet["Part"] = [f"no. {row // 2}" for row in range(len(sheet))]
    sheet.to_csv(tmp_path / "sheet.csv", index=False)

    check(tmp_path / "sheet.csv", out=tmp_path / "out", root=noisy_folder, group_column="Part")

    groups = read_groups(tmp_path / "out").set_index("path")["group"]
    assert list(groups[sheet["Noisy Image"]]) == list(sheet["Part"])
    assert list(groups[sheet["Denoise Image"]]) == list(sheet["Part"])
    assert "no. 3" in (tmp_path / "out" / "groups.html").read_text("utf-8")


def test_groups_are_found_if_the_sheet_has_none(
    noisy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(noisy_folder / "Labels.xlsx", out=tmp_path)

    groups = read_groups(tmp_path)
    assert list(groups.columns) == ["path", "group"]
    assert f"rows show {groups['group'].nunique()} parts" in " ".join(capsys.readouterr().out.split())
    doubts = pd.read_csv(tmp_path / "group_doubts.csv")
    assert set(doubts["group"]) == set(groups["group"])
    assert doubts["rows"].sum() == len(groups) / 2
    assert (tmp_path / "groups.html").read_text("utf-8").count("<img") > 0
