import csv
import errno
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clearcast.core.errors import MissingDependencyError, OutputError
from clearcast.core.files import escape_name, unescape_name
from clearcast.inference.sinks import (
    RESULTS_COLUMNS,
    InspectedIndex,
    open_results_writer,
    read_newest_results,
    read_results,
)
from clearcast.inference.sinks import result_rows as result_rows_module
from clearcast.inference.sinks.inspected import NameSet
from clearcast.inference.sinks.result_rows import VERDICT_COLUMNS, to_results_row
from clearcast.noise.registry import NoiseType
from clearcast.types import Inspection, Verdict

MODEL = "castings 0123abcd"
SUFFIXES = [".csv", ".jsonl", ".ndjson", ".parquet"]
ROW = Inspection(
    path="a.png",
    sha256="ab" * 32,
    verdict=Verdict.DEFECT,
    p_defect=0.123456789,
    threshold=0.5,
    noise_type=NoiseType.SALT_AND_PEPPER,
    noise_level="5 % of the pixels",
    p_noise=1.0,
    ms=1234.5678,
    model=MODEL,
    error="",
)
BROKEN = Inspection(
    path="b.png",
    sha256=None,
    verdict=None,
    p_defect=None,
    threshold=None,
    noise_type=None,
    noise_level="",
    p_noise=None,
    ms=None,
    model=MODEL,
    error='b.png: no "picture",\nat all',
)
UNICODE = st.text(st.characters(codec="utf-8"), max_size=12)
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


def named(*names: str) -> list[Inspection]:
    return [replace(ROW, path=name) for name in names]


def write(path: Path, rows: Iterable[Inspection], *, resume: bool = False) -> InspectedIndex:
    writer, inspected = open_results_writer(path, model=MODEL, resume=resume)
    with writer:
        for row in rows:
            writer.write(row)
    return inspected


def interrupt(path: Path, rows: Iterable[Inspection], *, resume: bool = False) -> None:
    writer, _ = open_results_writer(path, model=MODEL, resume=resume)
    for row in rows:
        writer.write(row)
    writer.stop()


def read(path: Path) -> list[dict[str, Any]]:
    """Read the rows as other programs do."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".parquet":
        return [dict(zip(RESULTS_COLUMNS, row, strict=True)) for row in pd.read_parquet(path).itertuples(index=False)]
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def paths(path: Path) -> list[str]:
    return [row["path"] for row in read(path)]


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def test_csv_has_the_columns_rounded_numbers_and_empty_cells(tmp_path: Path) -> None:
    write(tmp_path / "results.csv", [ROW, BROKEN])

    assert (tmp_path / "results.csv").read_bytes().decode() == (
        "path,sha256,verdict,p_defect,threshold,noise_type,noise_level,p_noise,ms,model,error,size,modified,denoised,"
        "heatmap\n"
        f"a.png,{'ab' * 32},defect,0.123457,0.5,salt_and_pepper,5 % of the pixels,1,1234.57,{MODEL},,,,,\n"
        f'b.png,,,,,,,,,{MODEL},"b.png: no ""picture"",\nat all",,,,\n'
    )


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson"])
def test_json_lines_have_one_object_per_line_and_null(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"

    write(path, [ROW, BROKEN])

    whole, broken = read(path)
    assert tuple(whole) == tuple(broken) == RESULTS_COLUMNS
    assert (whole["verdict"], whole["p_defect"], whole["ms"], whole["error"]) == ("defect", 0.123457, 1234.57, "")
    assert (broken["verdict"], broken["p_defect"], broken["sha256"]) == (None, None, None)


def test_parquet_keeps_numbers_as_numbers(tmp_path: Path) -> None:
    write(tmp_path / "results.parquet", [BROKEN, ROW])

    table = pd.read_parquet(tmp_path / "results.parquet")
    assert tuple(table.columns) == RESULTS_COLUMNS
    assert {name for name in VERDICT_COLUMNS if table[name].dtype == float} == {
        "p_defect",
        "threshold",
        "p_noise",
        "ms",
    }
    assert table["p_defect"].tolist()[1] == 0.123457
    assert table["path"].tolist() == ["b.png", "a.png"]


def test_nan_is_an_empty_cell(tmp_path: Path) -> None:
    write(tmp_path / "results.jsonl", [replace(ROW, p_defect=math.nan, ms=math.inf)])

    (row,) = read(tmp_path / "results.jsonl")
    assert (row["p_defect"], row["ms"]) == (None, None)


@SHARED_FOLDER
@given(st.lists(UNICODE, max_size=6, unique=True), UNICODE)
@example(["\r", "\n", '"', ",", "a\x00b", "\u2028", "=1+1", "-", " a ", ""], "\r\n")
def test_names_and_errors_round_trip(tmp_path: Path, names: list[str], error: str) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"results{suffix}"
        path.unlink(missing_ok=True)

        write(path, [replace(row, error=error) for row in named(*names)])

        assert [(row["path"], row["error"]) for row in read(path)] == [(name, error) for name in names]
        inspected = write(path, [], resume=True)
        assert len(inspected) == len(names)
        assert all(name in inspected for name in names)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_that_is_not_unicode_is_escaped_and_recognised(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    stray = os.fsdecode(b"caf\xe9.png")

    write(path, named(stray))

    assert paths(path) == [r"caf\udce9.png"]
    assert stray in write(path, [], resume=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_go_to_a_partial_file_that_is_renamed_at_the_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"results{suffix}"
    writer, inspected = open_results_writer(path, model=MODEL, resume=False)

    writer.write(ROW)

    assert not path.exists()
    assert b"a.png" in partial(path).read_bytes()
    writer.close()
    assert files(path.parent) == [path.name]
    assert paths(path) == ["a.png"]
    assert len(inspected) == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_run_is_resumed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"

    def until_stopped() -> Iterator[Inspection]:
        yield ROW
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, until_stopped(), resume=True)

    assert not path.exists()
    inspected = write(path, named("b.png"), resume=True)

    assert paths(path) == ["a.png", "b.png"]
    assert "a.png" in inspected
    assert "b.png" not in inspected
    assert files(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_without_rows_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    interrupt(tmp_path / f"results{suffix}", [])

    assert not files(tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_complete_file_is_extended_and_replaced_at_the_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    write(path, named("a", "b"))

    interrupt(path, named("c"), resume=True)
    assert paths(path) == ["a", "b"]
    write(path, named("d"), resume=True)

    assert paths(path) == ["a", "b", "c", "d"]
    assert files(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_overwritten(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    interrupt(path, [ROW])
    with pytest.raises(OutputError, match=r"partial: has rows of an interrupted run; continue it with --resume"):
        open_results_writer(path, model=MODEL, resume=False)
    write(path, [], resume=True)

    with pytest.raises(OutputError, match="already exists and will not be overwritten; extend it with --resume"):
        open_results_writer(path, model=MODEL, resume=False)

    assert paths(path) == ["a.png"]


def test_a_file_created_by_another_process_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    writer, _ = open_results_writer(path, model=MODEL, resume=False)
    writer.write(ROW)
    path.write_text("content")

    with pytest.raises(OutputError, match="was created by another process"):
        writer.close()

    assert path.read_text() == "content"
    assert b"a.png" in partial(path).read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_of_another_model_are_rejected_and_unchanged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    write(path, [ROW])
    before = path.read_bytes()

    with pytest.raises(OutputError, match="expected rows of the model 'other 99', got 'castings 0123abcd'"):
        open_results_writer(path, model="other 99", resume=True)

    assert path.read_bytes() == before
    assert files(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.csv", "path,verdict\na.png,ok\n"),
        ("results.csv", "my,own,table\n1,2,3\n"),
        ("results.csv", ",".join(RESULTS_COLUMNS) + "\na.png,ok\n"),
        ("results.csv", b"\xff\xfe\x00\n"),
        ("results.jsonl", '{"path": "a.png"}\n'),
        ("results.jsonl", "[1]\n"),
        ("results.jsonl", "hello\n"),
        ("results.jsonl", json.dumps(dict.fromkeys(RESULTS_COLUMNS, 5) | {"model": MODEL}) + "\n"),
        ("results.parquet", "text"),
    ],
)
def test_other_files_are_rejected_and_unchanged(tmp_path: Path, name: str, content: str | bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    before = path.read_bytes()

    with pytest.raises(OutputError, match=r"cannot resume from this file \(.+\); choose another"):
        open_results_writer(path, model=MODEL, resume=True)

    assert path.read_bytes() == before
    assert files(tmp_path) == [name]


def test_a_parquet_file_with_other_columns_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    pd.DataFrame({"path": ["a"]}).to_parquet(path)

    with pytest.raises(OutputError, match="other columns"):
        open_results_writer(path, model=MODEL, resume=True)


def test_a_complete_file_with_rows_that_the_partial_one_lacks_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write(path, named("a", "b"))
    partial(path).write_bytes(path.read_bytes().replace(b"\nb,", b"\nz,"))

    with pytest.raises(OutputError, match=r"has rows that .* lacks; remove the outdated one"):
        open_results_writer(path, model=MODEL, resume=True)


@pytest.mark.parametrize("name", ["results.txt", "results", "results.xlsx", ".csv"])
def test_an_unknown_suffix_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"expected a file type of \.csv, \.jsonl, \.ndjson, \.parquet"):
        open_results_writer(tmp_path / name, model=MODEL, resume=False)


def test_an_unwritable_path_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match="cannot write"):
        open_results_writer(tmp_path / "file" / "results.csv", model=MODEL, resume=False)


def test_parquet_without_pyarrow_is_rejected_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_rows_module, "find_spec", lambda _: None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'clearcast\[parquet\]', or write \.csv"):
        open_results_writer(tmp_path / "results.parquet", model=MODEL, resume=False)

    assert not files(tmp_path)


def test_two_processes_cannot_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    writer, _ = open_results_writer(path, model=MODEL, resume=False)
    writer.write(ROW)

    with pytest.raises(OutputError, match=rf"another process \({os.getpid()}\) is writing it"):
        open_results_writer(path, model=MODEL, resume=True)

    writer.close()
    assert paths(path) == ["a.png"]


RACING_PROCESS = """
import sys
from pathlib import Path
from clearcast.types import Inspection
from clearcast.core.errors import OutputError
from clearcast.inference.sinks import RESULTS_COLUMNS, open_results_writer

path, model, name = Path(sys.argv[1]), *sys.argv[2:]
written = refused = 0
while written < 10:
    try:
        writer, inspected = open_results_writer(path, model=model, resume=True)
    except OutputError as error:
        assert "another process (" in str(error) or "another process is" in str(error), error
        refused += 1
        continue
    with writer:
        values = dict.fromkeys(RESULTS_COLUMNS) | {"noise_level": "", "error": ""}
        values |= {"path": f"{name}{written}", "model": model}
        writer.write(Inspection(**values))
    written += 1
"""


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_processes_racing_for_one_file_lose_no_row(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    racers = [subprocess.Popen([sys.executable, "-c", RACING_PROCESS, str(path), MODEL, name]) for name in "abc"]
    assert [racer.wait(120) for racer in racers] == [0, 0, 0]
    assert sorted(paths(path)) == sorted(f"{name}{number}" for name in "abc" for number in range(10))
    assert files(tmp_path) == [path.name]


def test_a_lock_of_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    (tmp_path / ".results.csv.lock").write_text("4711 elsewhere\n")
    write(path, [ROW])
    assert files(tmp_path) == [path.name]


def test_a_link_and_its_target_share_one_lock(tmp_path: Path) -> None:
    target, link = tmp_path / "a" / "results.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    link.symlink_to(target)
    writer, _ = open_results_writer(target, model=MODEL, resume=True, live=True)
    with pytest.raises(OutputError, match="is writing it; wait until it ends"):
        open_results_writer(link, model=MODEL, resume=True, live=True)
    writer.close()


@pytest.mark.skipif(sys.platform == "win32", reason="the system call of POSIX")
def test_a_drive_without_locks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    writer, _ = open_results_writer(tmp_path / "results.csv", model=MODEL, resume=False)
    assert "this drive does not support locks" in writer.warning
    writer.close()
    assert files(tmp_path) == ["results.csv"]


OLD_HEADER = "path,sha256,verdict,p_defect,threshold,noise_type,noise_level,p_noise,ms,model,error"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("whole", [True, False])
def test_files_of_the_first_version_are_resumed(tmp_path: Path, suffix: str, whole: bool) -> None:
    path = tmp_path / f"results{suffix}"
    row = to_results_row(replace(ROW, path="old, x.png"))
    old = {name: row[name] for name in VERDICT_COLUMNS}
    if suffix == ".parquet" and whole:
        pd.DataFrame([old]).to_parquet(path)
    elif suffix == ".csv":
        cells = [f"{old[name]:g}" if isinstance(old[name], float) else f'"{old[name]}"' for name in VERDICT_COLUMNS]
        (path if whole else partial(path)).write_text(f"{OLD_HEADER}\n{','.join(cells)}\n{'' if whole else 'half'}")
    else:
        (path if whole else partial(path)).write_text(json.dumps(old) + "\n" + ("" if whole else "{"))

    inspected = write(path, named("new"), resume=True)

    assert len(inspected) == 1
    columns = (
        VERDICT_COLUMNS if suffix in {".jsonl", ".ndjson"} else RESULTS_COLUMNS
    )  # each line of JSON has its own columns
    assert [tuple(row) for row in read(path)] == [columns, RESULTS_COLUMNS]
    assert paths(path) == [old["path"], "new"]
    assert files(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_invalid_bytes_and_their_escapes_are_different_names(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    names = [os.fsdecode(b"bad\xff.jpg"), r"bad\udcff.jpg", r"bad\u005cudcff.jpg", "\udc80\\"]
    write(path, named(names[0]))
    assert names[1] not in write(path, named(*names[1:]), resume=True)
    assert [row["path"] for row in read_results(path)] == names
    assert len(set(paths(path))) == 4
    inspected = write(path, [], resume=True)
    assert all(name in inspected for name in names)
    assert len(inspected) == 4


@settings(max_examples=300)
@given(st.text(st.sampled_from(["\\", "u", "d", "c", "f", "0", "5", "\udcff", "\ud800", "a"])))
def test_any_name_is_escaped_reversibly(name: str) -> None:
    text = escape_name(name)
    text.encode()
    assert unescape_name(text) == name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_last_row_of_a_path_is_the_newest(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    write(path, [replace(row, noise_level=str(place)) for place, row in enumerate(named("a", "b", "a", "c", "a", "b"))])
    assert [(row["path"], row["noise_level"]) for row in read_newest_results(path)] == [
        ("c", "3"),
        ("a", "4"),
        ("b", "5"),
    ]


@pytest.mark.parametrize(("suffix", "step"), [(".csv", 1), (".jsonl", 1), (".parquet", 17)])
def test_a_file_truncated_at_any_byte_is_resumed_without_lost_or_duplicated_rows(
    tmp_path: Path, suffix: str, step: int
) -> None:
    path = tmp_path / f"results{suffix}"
    rows = [*named("a", 'b"\n,"', "ü"), BROKEN]
    interrupt(path, rows)
    whole = partial(path).read_bytes()

    for end in range(0, len(whole) + 1, step):
        partial(path).write_bytes(whole[:end])
        writer, inspected = open_results_writer(path, model=MODEL, resume=True)
        with writer:
            for row in rows:
                if row.path not in inspected:
                    writer.write(row)
        assert paths(path) == [row.path for row in rows], end
        path.unlink()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_live_file_is_appended_in_place_and_repaired(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results{suffix}"
    writer, _ = open_results_writer(path, model=MODEL, resume=True, live=True)
    writer.write(ROW)
    assert paths(path) == ["a.png"]
    writer.stop()
    path.write_bytes(path.read_bytes() + b"b.pn")

    writer, inspected = open_results_writer(path, model=MODEL, resume=True, live=True)
    writer.write(BROKEN)
    writer.close()

    assert len(inspected) == 1
    assert paths(path) == ["a.png", "b.png"]
    assert files(tmp_path) == [path.name]


def test_parquet_is_rejected_as_a_live_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot append rows to Parquet"):
        open_results_writer(tmp_path / "results.parquet", model=MODEL, resume=True, live=True)


WRITING_PROCESS = """
import sys
from pathlib import Path
from clearcast.types import Inspection
from clearcast.inference.sinks import RESULTS_COLUMNS, open_results_writer

writer, inspected = open_results_writer(Path(sys.argv[1]), model=sys.argv[2], resume=True)
for number in range(100_000):
    name = f"{number}.png"
    if name not in inspected:
        values = dict.fromkeys(RESULTS_COLUMNS) | {"path": name, "model": sys.argv[2], "error": "x" * 300}
        writer.write(Inspection(**values))
        print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_process_loses_no_reported_row(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    reported = -1
    for _ in range(3):
        command = [sys.executable, "-c", WRITING_PROCESS, str(path), MODEL]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(50):
                reported = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            *later, _ = process.stdout.read().split("\n")
            reported = int(later[-1]) if later else reported

        writer, inspected = open_results_writer(path, model=MODEL, resume=True)
        writer.stop()
        assert all(f"{number}.png" in inspected for number in range(reported + 1))

    write(path, [], resume=True)
    assert paths(path) == [f"{number}.png" for number in range(len(paths(path)))]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=4)), st.lists(st.text(max_size=4)))
def test_a_name_set_is_a_set(names: list[str], others: list[str]) -> None:
    name_set = NameSet()
    for name in names:
        name_set.add(name)

    assert len(name_set) == len(set(names))
    assert all(name in name_set for name in names)
    assert not any(name in name_set for name in set(others) - set(names))


def test_a_name_set_holds_many_names() -> None:
    name_set = NameSet()
    for number in range(100_000):
        name_set.add(str(number))
        if number % 3 == 0:
            name_set.add(str(number // 2))

    assert len(name_set) == 100_000
    assert all(str(number) in name_set for number in range(0, 100_000, 7))
    assert not any(str(number) in name_set for number in range(100_000, 101_000))
    assert 5 not in name_set
