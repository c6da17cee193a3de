from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.core.errors import SheetError
from clearcast.data.sheet import SheetRow
from clearcast.data.splits import (
    assign_groups,
    make_column_split,
    make_fold_split,
    make_grouped_split,
    make_random_split,
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
    first, second = (make_random_split(strata, test_share=0.2, validation_share=0.1, seed=seed) for _ in range(2))

    assert first == second


@settings(deadline=None, max_examples=50)
@given(data=st.data(), strata=strata_lists, seed=seeds)
def test_the_order_of_the_rows_does_not_change_what_each_stratum_gives(
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


def test_every_row_of_a_stratum_is_as_likely_to_test() -> None:
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
    assert "choose" not in without.description
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
    """Parts with 1 to 9 rows, each part of one label, noise types by turns."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=12, max_size=30))
    labels = draw(st.lists(st.sampled_from(["ok", "defect"]), min_size=len(sizes), max_size=len(sizes)))
    rows = [(f"part {part}", labels[part]) for part, size in enumerate(sizes) for _ in range(size)]
    order = draw(st.permutations(rows))
    return [part for part, _ in order], [(label, "gps"[place % 3]) for place, (_, label) in enumerate(order)]


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
def test_whole_parts_come_near_the_shares(sheet: tuple[list[str], list[tuple[str, str]]], seed: int) -> None:
    parts, strata = sheet
    split = make_grouped_split(parts, strata, test_share=0.25, validation_share=0, seed=seed)

    largest = max(Counter(parts).values())
    assert abs(len(split.rows(Subset.TEST)) - 0.25 * len(parts)) <= largest


@settings(deadline=None, max_examples=15)
@given(sheet=sheets_of_parts(), folds=st.integers(2, 6), seed=st.integers(0, 1000))
def test_each_row_tests_in_exactly_one_fold(
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


def test_labels_are_spread_over_the_folds_as_evenly_as_whole_parts_allow() -> None:
    parts = [f"ok {part}" for part in range(10) for _ in range(6)] + [f"def {part}" for part in range(40)]
    strata = [("ok", place % 3) for place in range(60)] + [("defect", place % 3) for place in range(40)]

    for fold in range(1, 6):
        split = make_fold_split(parts, strata, folds=5, fold=fold, validation_share=0, seed=1)
        assert Counter(strata[row][0] for row in split.rows(Subset.TEST)) == {"ok": 12, "defect": 8}


def test_one_part_cannot_be_divided() -> None:
    with pytest.raises(SheetError, match=r"20 rows show 1 part\(s\); expected at least 2.* --split random"):
        make_grouped_split(["same"] * 20, [("ok",)] * 20, test_share=0.2, validation_share=0, seed=0)


def test_two_parts_are_not_enough_to_choose_by_one() -> None:
    parts, strata = ["a"] * 5 + ["b"] * 5, [("ok",)] * 10
    with pytest.raises(SheetError, match=r"of 2 parts, only one is left to train.* --validation-share 0"):
        make_grouped_split(parts, strata, test_share=0.2, validation_share=0.15, seed=0)
    split = make_grouped_split(parts, strata, test_share=0.2, validation_share=0, seed=0)
    assert len(split.rows(Subset.TEST)) == len(split.rows(Subset.TRAIN)) == 5


def test_more_folds_than_parts_are_refused() -> None:
    with pytest.raises(SheetError, match=r"5 folds require 5 parts, got 3"):
        make_fold_split(["a", "b", "c"] * 3, [("ok",)] * 9, folds=5, fold=1, validation_share=0, seed=0)


def test_many_parts_are_dealt_evenly_in_few_tries() -> None:
    strata = [("ok" if row % 5 else "defect", row % 3) for row in range(12_000)]
    bins = assign_groups([str(row) for row in range(12_000)], strata, shares=(0.75, 0.25), seed=1)
    tested = Counter(trait for trait, number in zip(strata, bins, strict=True) if number == 1)
    for trait, rows in Counter(strata).items():
        assert tested[trait] == pytest.approx(rows / 4, abs=2)


def test_the_description_counts_parts() -> None:
    parts = [f"part {place // 2}" for place in range(40)]
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


def test_a_column_divides() -> None:
    rows = [row(2, Subset.TRAIN), row(3, Subset.TEST), row(4, Subset.VALIDATION)]

    assert make_column_split(rows, "Use").subsets == (Subset.TRAIN, Subset.TEST, Subset.VALIDATION)
    with pytest.raises(SheetError, match="no row has test in the column 'Use'"):
        make_column_split(rows[:1], "Use")
