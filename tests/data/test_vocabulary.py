"""Words for labels, noise types and subsets, in cells and in paths."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearcast.core.errors import SheetError
from clearcast.data.vocabulary import LabelVocabulary, find_labels_in_path, parse_noise_type
from clearcast.noise.registry import NoiseType
from clearcast.types import Label


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("With-Noise/cast_ok_0_100.jpeg", Label.OK),
        ("With-Noise/cast_def_0_100.jpeg", Label.DEFECT),
        ("With-Noise/cast_defect_0_100.jpeg", Label.DEFECT),
        ("ok/1.png", Label.OK),
        ("DEFECTIVE parts/1.png", Label.DEFECT),
        ("OK12.PNG", Label.OK),
        ("a-def.b.png", Label.DEFECT),
        ("ok_front/def_7.png", Label.DEFECT),
        ("def_front/ok/7.png", Label.OK),
    ],
)
def test_the_words_nearest_to_the_file_give_the_label(path: str, label: Label) -> None:
    assert find_labels_in_path(path) == {label}


@pytest.mark.parametrize("path", ["", "1.png", "look.png", "broken/1.png", "undefined.png", "Noktest/definite.png"])
def test_parts_of_words_are_no_labels(path: str) -> None:
    assert find_labels_in_path(path) == frozenset()


@pytest.mark.parametrize(
    "path",
    ["ok_def_1.png", "def-or-ok/1.png", "no_ok_1.png", "NON OK/1.png", "no-defect.png", "ok/non_defective_3.png"],
)
def test_contradicting_or_negated_words_count_as_both_labels(path: str) -> None:
    assert find_labels_in_path(path) == {Label.OK, Label.DEFECT}


@pytest.mark.parametrize(
    "name",
    [
        *("n_io", "n-iO", "N iO_3.png", "n_i_O", "n. i. O.", "ni_o", "N-OK", "n_ok", "n.o.k", "n-o-k", "NOK", "n_g"),
        *("not-ok", "nogood", "nichtInOrdnung", "cast_n_ok_7.png"),
    ],
)
def test_known_negated_words_can_have_any_separators(name: str) -> None:
    assert find_labels_in_path(f"{name}/1.png") == {Label.DEFECT}


@pytest.mark.parametrize("name", ["i.O.", "i-O", "i_o_7.png", "IO", "o.k.", "O-K", "Kamera_i.O._7"])
def test_words_for_ok_can_have_any_separators(name: str) -> None:
    assert find_labels_in_path(f"{name}/1.png") == {Label.OK}


@pytest.mark.parametrize(
    "name",
    [
        *("un-ok", "un_accepted", "unaccepted", "not accepted", "not_passed", "without_ok", "n_good", "not_i.O."),
        *("defect_free", "defect-free", "DefectFree", "def free", "defektfrei", "defect-less", "NG-free", "bad_frei_2"),
        *("zero_defects", "ZeroDefects", "free_of_defects", "free from defects", "frei von Ausschuss", "nodefect"),
        *("NoDefects", "no_def", "without_defect", "ohne Defekt", "ohne_Ausschuss", "keine_defects", "n_def", "undef"),
    ],
)
def test_a_negated_word_never_counts_as_its_label(name: str) -> None:
    assert find_labels_in_path(f"{name}/1.png") == {Label.OK, Label.DEFECT}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *(
            ("ok_free_7", Label.OK),
            ("def_freeform", Label.DEFECT),
            ("station_ok", Label.OK),
            ("iron_def", Label.DEFECT),
        ),
        *(("def_unit", Label.DEFECT), ("sun_ok", Label.OK), ("zero_1_def", Label.DEFECT), ("n5_ok", Label.OK)),
    ],
)
def test_other_words_do_not_negate(name: str, label: Label) -> None:
    assert find_labels_in_path(f"{name}.png") == {label}


@pytest.mark.parametrize("name", ["nook", "noise", "union", "unit", "carefree", "freeform", "noon", "no", "undefined"])
def test_words_that_begin_like_a_negation_do_not_negate(name: str) -> None:
    assert find_labels_in_path(f"{name}/1.png") == frozenset()


def test_a_number_is_no_negation() -> None:
    assert find_labels_in_path("part_no_5_ok.png") == {Label.OK}


@given(
    word=st.sampled_from(["ok", "def", "defect"]),
    before=st.text(string.digits + "_-. ", max_size=5),
    after=st.text(string.digits + "_- ", max_size=5),
    folder=st.text(string.ascii_letters + "_", min_size=1, max_size=8),
    capitals=st.booleans(),
)
def test_any_separators_and_case_changes_delimit_a_word(
    word: str, before: str, after: str, folder: str, *, capitals: bool
) -> None:
    name = f"{before}{word}{after}"

    labels = find_labels_in_path(f"{folder}/{name.upper() if capitals else name}.png")

    assert labels == {Label.OK if word == "ok" else Label.DEFECT}


@given(st.text())
def test_any_text_can_be_searched_for_labels(path: str) -> None:
    assert find_labels_in_path(path) <= set(Label)


@pytest.mark.parametrize(
    "text",
    ["ok", " OK ", "Good", "pass", "0", "False", "i.O.", "i. O.", "IO", "P", "合格", "gut", "0.0", "ＯＫ", "o.k."],
)
def test_spellings_of_ok(text: str) -> None:
    assert LabelVocabulary().parse(text) is Label.OK


@pytest.mark.parametrize(
    "text",
    [
        "def",
        "Defect",
        "DEFECTIVE",
        "nok",
        "NG",
        "bad",
        "fail",
        "1",
        "true",
        "n.i.O.",
        "NIO",
        "F",
        "不合格",
        "NOT OK",
        "N.OK",
        "1,0",
    ],
)
def test_spellings_of_defect(text: str) -> None:
    assert LabelVocabulary().parse(text) is Label.DEFECT


@pytest.mark.parametrize("text", ["1,", "1,0", "1,00", "1.", "1.0", "1.000", "+1,0"])
def test_a_number_can_end_in_zeros_after_its_point(text: str) -> None:
    assert LabelVocabulary().parse(text) is Label.DEFECT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "perhaps",
        "no def",
        "2",
        "ok def",
        "nan",
        "-1",
        "0.5",
        "10",
        "01",
        "1,000",
        "0,000",
        "+1,000",
        "1,000.0",
        "1.000,0",
        "1,0000",
    ],
)
def test_other_labels_are_unknown(text: str) -> None:
    assert LabelVocabulary().parse(text) is None


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (NoiseType.GAUSSIAN, ["Gaussian", "gauss", "Gaussian noise", "GAUSSIAN-NOISE", "AWGN"]),
        (
            NoiseType.SALT_AND_PEPPER,
            ["Salt", "salt & pepper", "Salt and Pepper", "salt_and_pepper", "salt-and-pepper noise", "Salt+Pepper"],
        ),
        (
            NoiseType.SALT_AND_PEPPER,
            ["salt n pepper", "S&P", "s&p noise", "impulse", "Impulse noise", "salt noise"],
        ),
        (NoiseType.PERIODIC, ["Periodic", "periodic noise", "sinusoidal", "Sinusoidal noise", "stripes"]),
        (NoiseType.NONE, ["none", "None", "clean", "No noise", "noise-free"]),
    ],
)
def test_common_spellings_of_noise_types(kind: NoiseType, texts: list[str]) -> None:
    assert [parse_noise_type(text) for text in texts] == [kind] * len(texts)


@pytest.mark.parametrize("text", ["", " ", "Poisson", "noise", "speckle noise", "salty", "gaussian and salt"])
def test_other_noise_types_are_unknown(text: str) -> None:
    assert parse_noise_type(text) is None


@given(kind=st.sampled_from(list(NoiseType)), separator=st.sampled_from(["_", "-", " ", " / "]), capitals=st.booleans())
def test_every_noise_type_is_parsed_from_its_own_names(kind: NoiseType, separator: str, *, capitals: bool) -> None:
    name = kind.value.replace("_", separator)

    assert parse_noise_type(name.upper() if capitals else f"  {name}\t") is kind
    assert parse_noise_type(kind.display_name) is kind


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("good/1.png", Label.OK),
        ("part_bad_1.png", Label.DEFECT),
        ("NG/1.png", Label.DEFECT),
        ("i.O./1.png", Label.OK),
        ("n.i.O._3.png", Label.DEFECT),
        ("nio 7.png", Label.DEFECT),
        ("IO/1.png", Label.OK),
        ("不合格/1.png", Label.DEFECT),
        ("合格_1.png", Label.OK),
        ("NOT_OK/1.png", Label.DEFECT),
        ("no good/1.png", Label.DEFECT),
        ("N.OK_1.png", Label.DEFECT),
        ("schlecht1.png", Label.DEFECT),
        ("ＯＫ/1.png", Label.OK),
    ],
)
def test_labels_in_paths_are_recognised_as_in_columns(path: str, label: Label) -> None:
    assert find_labels_in_path(path) == {label}


@pytest.mark.parametrize(
    "path", ["book/1.png", "P/1.png", "f_1.png", "goods/1.png", "violet.png", "ngultrum.png", "1/0.png", "radio.png"]
)
def test_other_words_in_paths_are_no_labels(path: str) -> None:
    assert find_labels_in_path(path) == frozenset()


def test_user_values_take_precedence_over_built_in_ones() -> None:
    vocabulary = LabelVocabulary(("1", "Klasse A"), ("0", "Kratzer"))

    assert [vocabulary.parse(text) for text in ("1.0", "0", "klasse-a", "OK")] == [
        *(Label.OK, Label.DEFECT, Label.OK, Label.OK),
    ]
    assert vocabulary.in_path("Kratzer_7.png") == {Label.DEFECT}
    assert vocabulary.in_path("klasse_a/7.png") == {Label.OK}
    assert vocabulary.in_path("1/0.png") == frozenset()  # numbers are everywhere in paths


@pytest.mark.parametrize(
    ("ok", "defect", "message"),
    [("A", "a ", "named by both --ok-value and"), ("-", "B", "expected a word that means ok, got an empty text")],
)
def test_ambiguous_label_values_are_refused(ok: str, defect: str, message: str) -> None:
    with pytest.raises(SheetError, match=message):
        LabelVocabulary((ok,), (defect,))
