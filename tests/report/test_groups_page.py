"""The page of groups: doubtful cases come first, it is self-contained, and it stays small."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clearcast.data.groups import ComparedImages, RowGroups
from clearcast.data.sheet import Sheet, read_sheet
from clearcast.report import groups_page
from clearcast.report.groups_page import write_groups_page
from clearcast.types import Label


@pytest.fixture
def sheet(noisy_folder: Path) -> Sheet:
    sheet = read_sheet(noisy_folder / "Labels.xlsx")
    rows = sorted(sheet.rows, key=lambda row: row.reference)
    return replace(sheet, rows=tuple(rows))


def in_threes(sheet: Sheet, **links: tuple[ComparedImages, ...]) -> RowGroups:
    names = tuple(f"part-{place // 3}" for place in range(len(sheet.rows)))
    return RowGroups(of_rows=names, images=tuple(row.reference for row in sheet.rows), **links)


def written(sheet: Sheet, groups: RowGroups, folder: Path) -> str:
    write_groups_page(sheet, groups, folder / "groups.html")
    return (folder / "groups.html").read_text("utf-8")


def test_contradictions_come_before_doubtful_matches_and_these_before_the_rest(sheet: Sheet, tmp_path: Path) -> None:
    rows = list(sheet.rows)
    rows[4] = replace(rows[4], label=Label.OK if rows[4].label is Label.DEFECT else Label.DEFECT)
    rows[3:6] = [replace(row, label=Label.OK) for row in rows[3:6]]
    rows[4] = replace(rows[4], label=Label.DEFECT)
    mixed = replace(sheet, rows=tuple(rows))
    paths = [row.reference for row in rows]
    doubtful = ComparedImages(one=paths[0], other=paths[1], match_score=0.91)
    sure = ComparedImages(one=paths[6], other=paths[7], match_score=0.99)
    near = ComparedImages(one=paths[0], other=paths[3], match_score=0.87)
    far = ComparedImages(one=paths[6], other=paths[3], match_score=0.2)

    page = written(mixed, in_threes(mixed, matches=(sure, doubtful), non_matches=(near, far)), tmp_path)

    places = [page.index(f'<section id="{name}">') for name in ("contradictions", "doubts", "misses", "groups")]
    assert places == sorted(places)
    contradictions, doubts, misses, _ = (
        page[start:end] for start, end in zip(places, [*places[1:], len(page)], strict=True)
    )
    assert re.findall("<h3>(.*?)</h3>", contradictions) == ["part-1"]
    assert re.findall("<h3>(.*?)</h3>", doubts) == ["part-0"]
    assert re.findall("<h3>(.*?)</h3>", misses) == ["part-0 and part-1"]
    assert "0.910" in doubts
    assert "0.870" in misses


def test_groups_without_doubtful_matches_have_no_such_sections(sheet: Sheet, tmp_path: Path) -> None:
    page = written(sheet, in_threes(sheet), tmp_path)

    assert '<section id="groups">' in page
    assert not re.findall('<section id="(contradictions|doubts|misses)">', page)
    assert page.count("data:image/jpeg") == len(sheet.rows)


def test_the_page_is_bounded_and_self_contained(sheet: Sheet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_page, "MAX_GROUPS", 2)
    monkeypatch.setattr(groups_page, "MAX_IMAGES_PER_GROUP", 2)

    page = written(sheet, in_threes(sheet), tmp_path)

    assert page.count("<img") == 4
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "default-src 'none'" in page


def test_the_page_explains_how_to_pass_corrected_groups(sheet: Sheet, tmp_path: Path) -> None:
    page = written(sheet, in_threes(sheet), tmp_path)

    assert re.search(r"clearcast study .*Labels\.xlsx.* --groups .*groups\.csv", page)


def test_an_unreadable_image_is_reported_and_names_are_escaped(sheet: Sheet, tmp_path: Path) -> None:
    lost = RowGroups(of_rows=("<b>", "<b>"), images=("", "gone.png"))

    page = written(replace(sheet, rows=sheet.rows[:2]), lost, tmp_path)

    assert "no image of this row can be read" in page
    assert "no such file" in page
    assert "<h3>&lt;b&gt;</h3>" in page


def test_the_page_needs_neither_torch_nor_matplotlib() -> None:
    code = "import sys, clearcast.report.groups_page; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}

    assert not loaded & {"torch", "matplotlib", "lightning", "sklearn", "skimage"}
