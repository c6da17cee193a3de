from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.data.sheet import Row
from clearcast.data.split import Split, Subset, load_split, random_split, save_split
from clearcast.domain import Label, NoiseType
from clearcast.errors import SheetError

strata_lists = st.lists(st.sampled_from([(label, kind) for label in Label for kind in NoiseType]), min_size=10)
many_strata = st.lists(st.integers(0, 40), min_size=10, max_size=300)
shares = st.floats(0.06, 0.8)
seeds = st.integers(0, 2**32 - 1)


def row(number: int, noisy: str) -> Row:
    return Row(number=number, noisy=noisy, noise_type=NoiseType.GAUSSIAN, reference="r.png", label=Label.OK)


@settings(deadline=None)
@given(strata=strata_lists | many_strata, test=shares, validation=st.floats(0, 0.6), seed=seeds)
def test_every_row_is_in_exactly_one_subset_of_the_right_size(
    strata: list[object], test: float, validation: float, seed: int
) -> None:
    split = random_split(strata, test_share=test, validation_share=validation, seed=seed)

    members = [split.rows(subset) for subset in Subset]
    assert sorted(index for rows in members for index in rows) == list(range(len(strata)))
    assert all(rows == sorted(rows) for rows in members)
    testing = round(len(strata) * test)
    assert len(split.rows(Subset.TEST)) == testing
    assert len(split.rows(Subset.VALIDATION)) == round((len(strata) - testing) * validation)


@settings(deadline=None)
@given(strata=strata_lists | many_strata, test=shares, validation=st.floats(0, 0.6), seed=seeds)
def test_each_stratum_gives_its_share_to_within_one_row(
    strata: list[object], test: float, validation: float, seed: int
) -> None:
    split = random_split(strata, test_share=test, validation_share=validation, seed=seed)

    everything = Counter(strata)
    drawn = {subset: Counter(strata[index] for index in split.rows(subset)) for subset in Subset}
    testing, choosing = (len(split.rows(subset)) for subset in (Subset.TEST, Subset.VALIDATION))
    for stratum, count in everything.items():
        assert abs(drawn[Subset.TEST][stratum] - count * testing / len(strata)) < 1
        rest = count - drawn[Subset.TEST][stratum]
        assert abs(drawn[Subset.VALIDATION][stratum] - rest * choosing / (len(strata) - testing)) < 1


@settings(deadline=None, max_examples=30)
@given(strata=strata_lists, seed=seeds)
def test_the_same_seed_gives_the_same_split(strata: list[object], seed: int) -> None:
    first, second = (random_split(strata, test_share=0.2, validation_share=0.1, seed=seed) for _ in range(2))

    assert first == second


@settings(deadline=None, max_examples=50)
@given(data=st.data(), strata=strata_lists, seed=seeds)
def test_the_order_of_the_rows_does_not_change_what_each_stratum_gives(
    data: st.DataObject, strata: list[object], seed: int
) -> None:
    shuffled = data.draw(st.permutations(strata))

    counts = [
        Counter(zip(order, random_split(order, test_share=0.2, validation_share=0.2, seed=seed).subsets, strict=True))
        for order in (strata, shuffled)
    ]
    assert counts[0] == counts[1]


def test_another_seed_gives_another_split() -> None:
    splits = {random_split(["same"] * 100, test_share=0.2, validation_share=0, seed=seed).subsets for seed in range(20)}

    assert len(splits) == 20


def test_every_row_of_a_stratum_is_as_likely_to_test() -> None:
    strata = ["a"] * 7 + ["b"] * 13
    tested = Counter(
        index
        for seed in range(2000)
        for index in random_split(strata, test_share=0.25, validation_share=0, seed=seed).rows(Subset.TEST)
    )

    # 2000 draws with a chance of 0.25 each: a standard deviation of 19.4 around 500
    assert all(abs(tested[index] - 500) < 5 * 19.4 for index in range(20))


def test_the_description_says_how_it_was_made() -> None:
    with_validation = random_split("ab" * 20, test_share=0.2, validation_share=0.1, seed=3)
    without = random_split("ab" * 20, test_share=0.25, validation_share=0, seed=4)

    assert "20% to test, of the others 10% to choose by" in with_validation.description
    assert with_validation.description.endswith("seed 3")
    assert "choose" not in without.description
    assert without.rows(Subset.VALIDATION) == []


@pytest.mark.parametrize(
    ("rows", "test", "validation"),
    [(0, 0.2, 0.1), (1, 0.2, 0), (2, 0.2, 0), (10, 1.0, 0), (10, 0.2, 1.0), (10, 0.0, 0)],
)
def test_too_few_rows_to_train_or_to_test_are_refused(rows: int, test: float, validation: float) -> None:
    with pytest.raises(SheetError, match=f"^{rows} rows are too few to divide; needed is at least one to train"):
        random_split(["a"] * rows, test_share=test, validation_share=validation, seed=0)


def test_a_saved_split_is_read_back(tmp_path: Path) -> None:
    rows = [row(number, f"pictures, new/ok_{number}ü.png") for number in range(2, 42)]
    split = random_split([number % 3 for number in range(40)], test_share=0.2, validation_share=0.2, seed=5)
    path = tmp_path / "run" / "split.csv"

    save_split(split, rows, path)

    assert load_split(path, rows, split.description) == split
    assert path.read_text("utf-8").splitlines()[:1] == ["row,noisy,split"]
    assert list(path.parent.iterdir()) == [path]


SAVED = "row,noisy,split\n2,a.png,train\n3,b.png,test\n"


def test_the_file_of_a_split_is_plain_csv(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text(SAVED)

    split = load_split(path, [row(2, "a.png"), row(3, "b.png")], "by hand")

    assert split == Split(subsets=(Subset.TRAIN, Subset.TEST), description="by hand")


@pytest.mark.parametrize("others", [["a.png"], ["b.png", "a.png"], ["a.png", "c.png"], ["a.png", "b.png", "c.png"]])
def test_a_split_of_other_pictures_is_refused(tmp_path: Path, others: list[str]) -> None:
    path = tmp_path / "split.csv"
    path.write_text(SAVED)

    with pytest.raises(SheetError, match=r"split\.csv: the split lists other pictures than the sheet; start a new run"):
        load_split(path, [row(number, name) for number, name in enumerate(others, 2)], "")


@pytest.mark.parametrize(
    "text", ["row,noisy\n2,a.png\n", "row,noisy,split\n2,a.png,exam\n", "row,noisy,split\n2,a.png\n"]
)
def test_a_broken_split_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)

    with pytest.raises(SheetError, match=r"split\.csv: cannot be read as a split .*; start a new run"):
        load_split(path, [row(2, "a.png")], "")


def test_a_missing_split_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match=r"split\.csv: cannot be read as a split"):
        load_split(tmp_path / "split.csv", [], "")
