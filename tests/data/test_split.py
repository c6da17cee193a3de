from pathlib import Path

import pytest

from clearcast.core.errors import SheetError
from clearcast.data.sheet import SheetRow
from clearcast.data.splits import Split, load_split, save_split
from clearcast.noise.registry import NoiseType
from clearcast.types import Label, Subset


def row(number: int, noisy: str) -> SheetRow:
    return SheetRow(number=number, noisy=noisy, noise_type=NoiseType.GAUSSIAN, reference="r.png", label=Label.OK)


def test_leaked_rows_are_those_whose_key_was_learned_from() -> None:
    train, check, test = Subset.TRAIN, Subset.VALIDATION, Subset.TEST
    split = Split(subsets=(train, test, train, test, check), description="by hand")

    assert split.leaked(["a", "b", "c", "c", "b"], into=test) == [3]
    assert split.leaked(["a", "b", "c", "c", "b"], into=test, known=check) == [1]
    assert split.leaked(["a", "b", "c", "d", "e"], into=test) == []
    assert split.leaked(["a", "b", "c", "d", "e"], ["v", "a", "x", "y", "z"], into=test) == [1]  # one in two roles


def test_a_saved_split_is_read_back(tmp_path: Path) -> None:
    rows = [row(number, f"images, new/ok_{number}ü.png") for number in range(2, 42)]
    split = Split(subsets=tuple(list(Subset)[number % 3] for number in range(40)), description="as split.csv lists it")
    parts = tuple(f"NA, {number}" for number in range(40))
    path = tmp_path / "run" / "split.csv"

    save_split(split, rows, parts, path)

    assert load_split(path, rows) == (split, parts)
    assert path.read_text("utf-8").splitlines()[:1] == ["row,noisy,part,split"]

    save_split(split, rows, parts, path, hashes=[f"{number:064x}" for number in range(40)])

    assert load_split(path, rows) == (split, parts)
    assert path.read_text("utf-8").splitlines()[1].endswith(f",{0:064x}")
    assert list(path.parent.iterdir()) == [path]


def test_a_split_holds_no_cell_that_a_spreadsheet_computes_and_older_ones_are_read(tmp_path: Path) -> None:
    rows = [row(2, "=1+1.png"), row(3, "a;@b.png")]
    split, parts = Split(subsets=(Subset.TRAIN, Subset.TEST), description="as split.csv lists it"), ("-1", "'=x")
    save_split(split, rows, parts, tmp_path / "split.csv")

    assert load_split(tmp_path / "split.csv", rows) == (split, parts)
    text = (tmp_path / "split.csv").read_text("utf-8")
    assert text.splitlines()[1:] == ["2,'=1+1.png,'-1,train", "3,a;'@b.png,''=x,test"]
    (tmp_path / "split.csv").write_text("row,noisy,part,split\n2,=1+1.png,-1,train\n3,a;@b.png,p,test\n")
    assert load_split(tmp_path / "split.csv", rows) == (split, ("-1", "p"))


SAVED = "row,noisy,part,split\n2,a.png,p,train\n3,b.png,q,test\n"


@pytest.mark.parametrize("others", [["a.png"], ["b.png", "a.png"], ["a.png", "c.png"], ["a.png", "b.png", "c.png"]])
def test_a_split_of_other_images_is_refused(tmp_path: Path, others: list[str]) -> None:
    path = tmp_path / "split.csv"
    path.write_text(SAVED)

    with pytest.raises(SheetError, match=r"split\.csv: the split lists other images than the sheet; start a new run"):
        load_split(path, [row(number, name) for number, name in enumerate(others, 2)])


@pytest.mark.parametrize(
    "text",
    [
        "row,noisy,split\n2,a.png,train\n",
        "row,noisy,part,split\n2,a.png,p,exam\n",
        "row,noisy,part,split\n2,a.png,p\n",
    ],
)
def test_a_broken_split_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)

    with pytest.raises(SheetError, match=r"split\.csv: cannot be read as a split .*; or start a new run"):
        load_split(path, [row(2, "a.png")])


def test_a_missing_split_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match=r"split\.csv: cannot be read as a split"):
        load_split(tmp_path / "split.csv", [])
