"""Keep the findings of a check as files."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

from clearcast.data.check import Check
from clearcast.errors import OutputError


def write_findings(check: Check, out: Path, *, force: bool = False) -> None:
    """Write ``findings.csv`` (severity, kind, row, path, message) and ``check.json`` (the counts) into a folder.

    Raises:
        OutputError: the folder holds findings already and ``force`` is not given, or cannot be written.
    """
    target = out / "findings.csv"
    if target.exists() and not force:
        raise OutputError(f"{target} exists; name another folder or allow it to be replaced with --force")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["severity", "kind", "row", "path", "message"])
            writer.writeheader()
            writer.writerows(asdict(finding) for finding in check.findings)
        counts = {key: value for key, value in asdict(check).items() if key != "findings"} | {"fit": check.fit}
        (out / "check.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error})") from None
