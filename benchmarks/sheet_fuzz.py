"""Fuzz test of sheets: a damaged sheet must be read or raise a SheetError, without a crash or much memory.

    python benchmarks/sheet_fuzz.py --seconds 60 --seed 7

Valid sheets of each format are generated and mutated: bytes are flipped, deleted and repeated, and numbers in a
workbook's XML are replaced by large ones. A child process reads them, so that a crash is reported. Prints counts, and
the maximum time and memory; files that cause a failure, and the slowest one, are kept in ``--keep``. Exit code 1 if
any failed.
"""

import argparse
import contextlib
import io
import multiprocessing as mp
import random
import re
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd
from openpyxl import Workbook

from clearcast.core.errors import SheetError
from clearcast.data.sheet import read_sheet

HEADER = ("Denoise Image", "Noise Type", "Noisy Image")
ROWS = [
    (f"Clean/part_{word}_{i}.png", "Gaussian", f"Noisy/part_{word}_{i}.png")
    for i in range(12)
    for word in ("ok", "def")
]
OLD = Path(__file__).parents[1] / "tests" / "data" / "files" / "labels.xls"
PATIENCE = 60.0  # seconds per sheet that count as a hang
SLOW = 1.0  # seconds from which the slowest sheet is kept
HUNGRY = 2**30  # bytes of memory that count as a failure
NUMBERS = (b"0", b"-1", b"1048576", b"99999999999999999999", b"1e308", b"65536")


@dataclass(frozen=True)
class Outcome:
    """Result of one file: ``kind`` is sheet, refused, or the failure."""

    kind: str
    seconds: float
    peak: int
    detail: str = ""


def seeds() -> dict[str, list[bytes]]:
    """Return valid sheets by suffix."""
    table = pd.DataFrame(ROWS, columns=list(HEADER))
    parquet = io.BytesIO()
    table.to_parquet(parquet)
    csv = [table.to_csv(index=False, sep=separator).encode() for separator in ",;\t"]
    return {
        ".xlsx": [_workbook(shared=False), _workbook(shared=True)],
        ".csv": [*csv, b"sep=;\r\n" + csv[1]],
        ".xls": [OLD.read_bytes()],
        ".parquet": [parquet.getvalue()],
    }


def _workbook(*, shared: bool) -> bytes:
    book = Workbook()
    book.create_sheet("Cover", 0).append(("How to use this list",))
    sheet = book["Sheet"]
    for row in (("Inspection list",), (), HEADER, *ROWS):
        sheet.append(row)
    sheet.merge_cells("B4:B9")
    sheet["B12"] = '=IF(1,"Salt","Gaussian")'
    sheet.row_dimensions[6].hidden = True
    file = io.BytesIO()
    book.save(file)
    return _with_shared_strings(file.getvalue()) if shared else file.getvalue()


def _with_shared_strings(data: bytes) -> bytes:
    """Move the strings of a workbook to a shared strings part, as Excel writes them."""
    strings: list[bytes] = []

    def share(match: re.Match[bytes]) -> bytes:
        strings.append(b"<si><t>" + match[1] + b"</t></si>")
        return b't="s"><v>%d</v>' % (len(strings) - 1)

    parts = _parts(data)
    for name in [name for name in parts if "worksheets/" in name]:
        parts[name] = re.sub(rb't="inlineStr"><is><t>([^<]*)</t></is>', share, parts[name])
    parts["xl/sharedStrings.xml"] = b"<sst>" + b"".join(strings) + b"</sst>"
    relation = b'<Relationship Id="rId99" Type="x/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    rels = "xl/_rels/workbook.xml.rels"
    parts[rels] = parts[rels].replace(b"</Relationships>", relation)
    return _zipped(parts)


def _parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change, delete or repeat some bytes, or replace numbers by large ones."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, length = rng.randrange(len(changed) + 1), rng.choice((1, 2, 8, 64, 512))
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes((rng.randrange(256),))
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length] * rng.choice((1, 1, 50))
            case 3:
                changed[at : at + length] = rng.randbytes(length)
            case 4:
                numbers = list(re.finditer(rb"\d+", bytes(changed)))
                if numbers:
                    found = rng.choice(numbers)
                    changed[found.start() : found.end()] = rng.choice(NUMBERS)
            case _:
                del changed[at:]
        if not changed:
            break
    return bytes(changed)


def damaged(suffix: str, data: bytes, rng: random.Random) -> bytes:
    """Mutate a sheet; of a workbook mostly one part, repacked, so that the content is reached."""
    if suffix != ".xlsx" or rng.random() < 0.2:
        return mutate(data, rng)
    parts = _parts(data)
    name = rng.choice([name for name in parts if "theme" not in name and "docProps" not in name])
    return _zipped(parts | {name: mutate(parts[name], rng)})


def read_each(pipe: Connection) -> None:
    """Main loop of the child process: read the sheets whose paths arrive, and send an Outcome for each."""
    while path := pipe.recv():
        _forget_peak()
        begun = time.perf_counter()
        try:
            read_sheet(path)
            kind, detail = "sheet", ""
        except SheetError as error:
            kind, detail = "refused", str(error)
        except BaseException as error:  # the failures to find
            kind, detail = type(error).__name__, str(error)[:200]
        pipe.send(Outcome(kind, time.perf_counter() - begun, _peak(), detail))


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


class Reader:
    """A child process that reads sheets, and is restarted when it ends."""

    def __init__(self) -> None:
        self._context = mp.get_context("spawn")
        self._start()

    def read(self, path: Path) -> Outcome:
        """Read a file, and return the result, also if the process crashes."""
        self._pipe.send(path)
        begun = time.perf_counter()
        try:
            if self._pipe.poll(PATIENCE):
                outcome: Outcome = self._pipe.recv()
                return outcome
            kind = "hangs"
        except EOFError:
            kind = "ended the process"
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        self._start()
        return Outcome(kind, time.perf_counter() - begun, 0, f"exit code {code}")

    def close(self) -> None:
        """End the child process."""
        self._pipe.send(None)
        self._process.join()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=read_each, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()


def run(seconds: float, seed: int, keep: Path, progress: Callable[[str], None] = print) -> int:
    """Read damaged sheets for some time, and return the number of failures."""
    rng = random.Random(seed)
    counts: Counter[tuple[str, str]] = Counter()
    slowest = hungriest = Outcome("", 0.0, 0)
    faults = 0
    reader, known = Reader(), seeds()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            suffix = rng.choice(list(known))
            path = Path(folder) / f"Labels{suffix}"
            path.write_bytes(damaged(suffix, rng.choice(known[suffix]), rng))
            outcome = reader.read(path)
            counts[suffix, outcome.kind] += 1
            if outcome.seconds > max(slowest.seconds, SLOW):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"slowest{suffix}").write_bytes(path.read_bytes())
            slowest = max(slowest, outcome, key=lambda each: each.seconds)
            hungriest = max(hungriest, outcome, key=lambda each: each.peak)
            if outcome.kind not in ("sheet", "refused") or outcome.peak > HUNGRY:
                faults += 1
                keep.mkdir(parents=True, exist_ok=True)
                kept = keep / f"{faults:03}{suffix}"
                kept.write_bytes(path.read_bytes())
                progress(f"FAULT {kept}: {outcome}")
    reader.close()
    for (suffix, kind), count in sorted(counts.items()):
        progress(f"{suffix} {kind}: {count}")
    progress(f"slowest: {slowest.seconds:.2f} s ({slowest.kind}); hungriest: {hungriest.peak / 2**20:.0f} MB")
    progress(f"{counts.total()} sheets, {faults} faults")
    return faults


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, default=Path("sheet-faults"))
    chosen = parser.parse_args()
    sys.exit(1 if run(chosen.seconds, chosen.seed, chosen.keep) else 0)


if __name__ == "__main__":
    main()
