"""Writer for the findings of a check."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

from clearcast.cells import protect_cell
from clearcast.data.check import Check
from clearcast.errors import OutputError
from clearcast.files import replace_file

_TABLE, _COUNTS = "findings.csv", "check.json"
GROUPS, GROUP_DOUBTS, GROUPS_PAGE = "groups.csv", "group_doubts.csv", "groups.html"


def require_findings_folder(out: Path, *, force: bool) -> None:
    """Check that findings can be written to a folder; call it before the images are read, which takes long.

    Raises:
        OutputError: the folder or one of its parents is a file, or the folder has findings and ``force`` is not set.
    """
    try:
        nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise OutputError(f"{nearest}: expected a folder for the findings, got a file")
        existing = [name for name in (_TABLE, _COUNTS, GROUPS, GROUP_DOUBTS, GROUPS_PAGE) if (out / name).exists()]
    except OSError as error:
        raise OutputError(f"{out}: cannot be opened ({error}); choose another folder") from None
    if existing and not force:
        raise OutputError(f"{out / existing[0]} exists; choose another folder, or replace it with --force")


def write_findings(check: Check, out: Path, *, force: bool = False) -> None:
    """Write ``findings.csv`` (severity, kind, row, path, message) and ``check.json`` (the counts) into a folder.

    Existing files are replaced only after both are complete.

    Raises:
        OutputError: see ``require_findings_folder``; or the folder cannot be written.
    """
    require_findings_folder(out, force=force)
    counts = {key: value for key, value in asdict(check).items() if key != "findings"} | {"fit": check.fit}
    try:
        with replace_file(out / _COUNTS) as counted, replace_file(out / _TABLE) as table:
            counted.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
            with table.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
                writer = csv.DictWriter(file, ["severity", "kind", "row", "path", "message"])
                writer.writeheader()
                rows = (asdict(finding) for finding in check.findings)
                writer.writerows({key: protect_cell(str(value or "")) for key, value in row.items()} for row in rows)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error}); choose another folder or free disk space") from None
