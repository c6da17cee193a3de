import csv
import json
from pathlib import Path

import pytest

from clearcast.data.check import Check, Finding, Severity
from clearcast.data.findings import write_findings
from clearcast.errors import OutputError

CHECK = Check(
    findings=(
        Finding(severity=Severity.ERROR, kind="missing picture", message='ü, "quoted"', row=7, path="n/ok, 1.png"),
        Finding(severity=Severity.WARNING, kind="mixed sizes", message="several sizes"),
    ),
    rows=3,
    pictures=6,
    labels={"ok": 2, "defect": 1},
    noise_types={"gaussian": 3},
    sizes={"16x12": 5, "8x8": 1},
    modes={"RGB": 6},
    formats={"PNG": 6},
)


def test_findings_are_kept_as_a_table_and_counts(tmp_path: Path) -> None:
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


def test_findings_are_replaced_only_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "findings.csv").write_text("old")

    with pytest.raises(OutputError, match=r"findings\.csv exists; .*--force"):
        write_findings(CHECK, tmp_path)
    assert (tmp_path / "findings.csv").read_text() == "old"
    assert not (tmp_path / "check.json").exists()

    write_findings(CHECK, tmp_path, force=True)
    assert (tmp_path / "findings.csv").read_text("utf-8").startswith("severity,")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")

    with pytest.raises(OutputError, match=r"out: cannot be written"):
        write_findings(CHECK, tmp_path / "out")
