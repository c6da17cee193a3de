"""Splits: shares, strata and parts; leakage; saved splits."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.core.errors import SheetError
from clearcast.data.sheet import SheetRow
from clearcast.data.splits import (
    Split,
    assign_groups,
    load_split,
    make_column_split,
    make_fold_split,
    make_grouped_split,
    make_random_split,
    save_split,
)
from clearcast.noise.registry import NoiseType
from clearcast.types import Label, Subset

strata_lists = st.lists(st.sampled_from([(label, kind) for label in Label for kind in NoiseType]), min_size=10)
many_strata = st.lists(st.integers(0, 40), min_size=10, max_size=300)
shares = st.floats(0.06, 0.8)
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(strata=strata_lists | many_strata, test=shares, validation=st.floats(0, 0.6), seed=seeds)
def test_every_row_is_in_exactly_one_subset_of_the_right_size(
    strata: list[object], test: float, validation: float, seed: int
) -> None:
    split = make_random_split(strata, test_share=test, validation_share=validation, seed=seed)

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
    split = make_random_split(strata, test_share=test, validation_share=validation, seed=seed)

    all_rows = Counter(strata)
    members_by_stratum = {subset: Counter(strata[index] for index in split.rows(subset)) for subset in Subset}
    testing, validating = (len(split.rows(subset)) for subset in (Subset.TEST, Subset.VALIDATION))
    for stratum, count in all_rows.items():
        assert abs(members_by_stratum[Subset.TEST][stratum] - count * testing / len(strata)) < 1
        rest = count - members_by_stratum[Subset.TEST][stratum]
        assert abs(members_by_stratum[Subset.VALIDATION][stratum] - rest * validating / (len(strata) - testing)) < 1


@settings(deadline=None, max_examples=30)
@given(strata=strata_lists, seed=seeds)
def test_the_same_seed_gives_the_same_split(strata: list[object], seed: int) -> None:
    first, second = (make_random_split(strata, test_share=0.2, validation_share=0.1, seed=seed) for _ in range(2))

    assert first == second


@settings(deadline=None, max_examples=50)
@given(data=st.data(), strata=strata_lists, seed=seeds)
def test_the_order_of_the_rows_does_not_change_the_counts_by_stratum(
    data: st.DataObject, strata: list[object], seed: int
) -> None:
    shuffled = data.draw(st.permutations(strata))

    counts = [
        Counter(
            zip(order, make_random_split(order, test_share=0.2, validation_share=0.2, seed=seed).subsets, strict=True)
        )
        for order in (strata, shuffled)
    ]
    assert counts[0] == counts[1]


def test_another_seed_gives_another_split() -> None:
    splits = {
        make_random_split(["same"] * 100, test_share=0.2, validation_share=0, seed=seed).subsets for seed in range(20)
    }

    assert len(splits) == 20


def test_every_row_of_a_stratum_is_equally_likely_to_be_tested() -> None:
    strata = ["a"] * 7 + ["b"] * 13
    tested = Counter(
        index
        for seed in range(2000)
        for index in make_random_split(strata, test_share=0.25, validation_share=0, seed=seed).rows(Subset.TEST)
    )

    # 2000 draws with a chance of 0.25 each: a standard deviation of 19.4 around 500
    assert all(abs(tested[index] - 500) < 5 * 19.4 for index in range(20))


def test_the_description_names_the_method() -> None:
    with_validation = make_random_split("ab" * 20, test_share=0.2, validation_share=0.1, seed=3)
    without = make_random_split("ab" * 20, test_share=0.25, validation_share=0, seed=4)

    assert "20% to test, of the others 10% to validate" in with_validation.description
    assert with_validation.description.endswith("seed 3")
    assert "validate" not in without.description
    assert without.rows(Subset.VALIDATION) == []


@pytest.mark.parametrize(
    ("rows", "test", "validation"),
    [(0, 0.2, 0.1), (1, 0.2, 0), (2, 0.2, 0), (10, 1.0, 0), (10, 0.2, 1.0), (10, 0.0, 0)],
)
def test_too_few_rows_to_train_or_to_test_are_refused(rows: int, test: float, validation: float) -> None:
    with pytest.raises(SheetError, match=f"^{rows} rows are too few to split; expected at least one to train"):
        make_random_split(["a"] * rows, test_share=test, validation_share=validation, seed=0)


@st.composite
def sheets_of_parts(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    """Parts with 1 to 9 rows, each part with one label, and alternating noise types."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=12, max_size=30))
    labels = draw(st.lists(st.sampled_from(["ok", "defect"]), min_size=len(sizes), max_size=len(sizes)))
    rows = [(f"part {part}", labels[part]) for part, size in enumerate(sizes) for _ in range(size)]
    order = draw(st.permutations(rows))
    return [part for part, _ in order], [(label, "gps"[index % 3]) for index, (_, label) in enumerate(order)]


@settings(deadline=None, max_examples=25)
@given(sheet=sheets_of_parts(), seed=st.integers(0, 1000))
def test_no_part_is_in_two_subsets(sheet: tuple[list[str], list[tuple[str, str]]], seed: int) -> None:
    parts, strata = sheet
    split = make_grouped_split(parts, strata, test_share=0.2, validation_share=0.2, seed=seed)

    subsets_of = defaultdict(set)
    for part, subset in zip(parts, split.subsets, strict=True):
        subsets_of[part].add(subset)
    assert all(len(subsets) == 1 for subsets in subsets_of.values())
    assert set(split.subsets) == set(Subset)
    assert split == make_grouped_split(parts, strata, test_share=0.2, validation_share=0.2, seed=seed)


@settings(deadline=None, max_examples=25)
@given(sheet=sheets_of_parts(), seed=st.integers(0, 1000))
def test_whole_parts_approximate_the_shares(sheet: tuple[list[str], list[tuple[str, str]]], seed: int) -> None:
    parts, strata = sheet
    split = make_grouped_split(parts, strata, test_share=0.25, validation_share=0, seed=seed)

    largest = max(Counter(parts).values())
    assert abs(len(split.rows(Subset.TEST)) - 0.25 * len(parts)) <= largest


@settings(deadline=None, max_examples=15)
@given(sheet=sheets_of_parts(), folds=st.integers(2, 6), seed=st.integers(0, 1000))
def test_each_row_is_tested_in_exactly_one_fold(
    sheet: tuple[list[str], list[tuple[str, str]]], folds: int, seed: int
) -> None:
    parts, strata = sheet
    splits = [
        make_fold_split(parts, strata, folds=folds, fold=fold, validation_share=0.2, seed=seed)
        for fold in range(1, folds + 1)
    ]

    tested = Counter(row for split in splits for row in split.rows(Subset.TEST))
    assert tested == Counter(range(len(parts)))
    for split in splits:
        for known in (Subset.TRAIN, Subset.VALIDATION):
            assert split.leaked(parts, into=Subset.TEST, known=known) == []


def test_labels_are_balanced_between_folds_as_far_as_whole_parts_allow() -> None:
    parts = [f"ok {part}" for part in range(10) for _ in range(6)] + [f"def {part}" for part in range(40)]
    strata = [("ok", index % 3) for index in range(60)] + [("defect", index % 3) for index in range(40)]

    for fold in range(1, 6):
        split = make_fold_split(parts, strata, folds=5, fold=fold, validation_share=0, seed=1)
        assert Counter(strata[row][0] for row in split.rows(Subset.TEST)) == {"ok": 12, "defect": 8}


def test_a_single_part_cannot_be_split() -> None:
    with pytest.raises(SheetError, match=r"20 rows show 1 part\(s\); expected at least 2.* --split random"):
        make_grouped_split(["same"] * 20, [("ok",)] * 20, test_share=0.2, validation_share=0, seed=0)


def test_two_parts_are_too_few_for_a_validation_subset() -> None:
    parts, strata = ["a"] * 5 + ["b"] * 5, [("ok",)] * 10
    with pytest.raises(SheetError, match=r"of 2 parts, only one is left to train.* --validation-share 0"):
        make_grouped_split(parts, strata, test_share=0.2, validation_share=0.15, seed=0)
    split = make_grouped_split(parts, strata, test_share=0.2, validation_share=0, seed=0)
    assert len(split.rows(Subset.TEST)) == len(split.rows(Subset.TRAIN)) == 5


def test_more_folds_than_parts_are_refused() -> None:
    with pytest.raises(SheetError, match=r"5 folds require 5 parts, got 3"):
        make_fold_split(["a", "b", "c"] * 3, [("ok",)] * 9, folds=5, fold=1, validation_share=0, seed=0)


def test_many_parts_are_assigned_evenly_in_few_trials() -> None:
    strata = [("ok" if row % 5 else "defect", row % 3) for row in range(12_000)]
    bins = assign_groups([str(row) for row in range(12_000)], strata, shares=(0.75, 0.25), seed=1)
    tested = Counter(stratum for stratum, number in zip(strata, bins, strict=True) if number == 1)
    for stratum, rows in Counter(strata).items():
        assert tested[stratum] == pytest.approx(rows / 4, abs=2)


def test_the_description_counts_parts() -> None:
    parts = [f"part {index // 2}" for index in range(40)]
    split = make_grouped_split(parts, [("ok",)] * 40, test_share=0.2, validation_share=0.25, seed=3)

    assert "of 20 parts 4 to test and 4 to validate" in split.description


def row(number: int, subset: Subset | None) -> SheetRow:
    return SheetRow(
        number=number,
        noisy=f"{number}.png",
        noise_type=NoiseType.GAUSSIAN,
        reference="r.png",
        label=Label.OK,
        subset=subset,
    )


def test_a_column_defines_the_split() -> None:
    rows = [row(2, Subset.TRAIN), row(3, Subset.TEST), row(4, Subset.VALIDATION)]

    assert make_column_split(rows, "Use").subsets == (Subset.TRAIN, Subset.TEST, Subset.VALIDATION)
    with pytest.raises(SheetError, match="no row has test in the column 'Use'"):
        make_column_split(rows[:1], "Use")


def row_of_image(number: int, noisy: str) -> SheetRow:
    return SheetRow(number=number, noisy=noisy, noise_type=NoiseType.GAUSSIAN, reference="r.png", label=Label.OK)


def test_leaked_rows_share_a_key_with_the_training_subset() -> None:
    train, check, test = Subset.TRAIN, Subset.VALIDATION, Subset.TEST
    split = Split(subsets=(train, test, train, test, check), description="by hand")

    assert split.leaked(["a", "b", "c", "c", "b"], into=test) == [3]
    assert split.leaked(["a", "b", "c", "c", "b"], into=test, known=check) == [1]
    assert split.leaked(["a", "b", "c", "d", "e"], into=test) == []
    assert split.leaked(["a", "b", "c", "d", "e"], ["v", "a", "x", "y", "z"], into=test) == [1]  # one in two roles


def test_a_saved_split_is_read_back(tmp_path: Path) -> None:
    rows = [row_of_image(number, f"images, new/ok_{number}ü.png") for number in range(2, 42)]
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


def test_cells_of_a_split_are_protected_and_older_splits_are_read(tmp_path: Path) -> None:
    rows = [row_of_image(2, "=1+1.png"), row_of_image(3, "a;@b.png")]
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
        load_split(path, [row_of_image(number, name) for number, name in enumerate(others, 2)])


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
        load_split(path, [row_of_image(2, "a.png")])


def test_a_missing_split_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match=r"split\.csv: cannot be read as a split"):
        load_split(tmp_path / "split.csv", [])
