import csv
import json
from pathlib import Path

import pytest

from clearcast.core.errors import OutputError
from clearcast.data.row_checks import FindingSeverity, SheetFinding
from clearcast.data.validation import SheetCheck, require_findings_folder, write_findings

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


@pytest.mark.parametrize("held", ["findings.csv", "check.json"])
def test_findings_are_replaced_only_when_allowed(tmp_path: Path, held: str) -> None:
    (tmp_path / held).write_text("old")

    with pytest.raises(OutputError, match=rf"{held} exists; .*--force"):
        require_findings_folder(tmp_path, force=False)
    with pytest.raises(OutputError, match=rf"{held} exists; .*--force"):
        write_findings(CHECK, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(held, "old")]

    require_findings_folder(tmp_path, force=True)
    write_findings(CHECK, tmp_path, force=True)
    assert (tmp_path / "findings.csv").read_text("utf-8").startswith("severity,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check.json", "findings.csv"]


def test_a_new_folder_is_not_made_by_asking(tmp_path: Path) -> None:
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
