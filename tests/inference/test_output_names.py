"""Names of image outputs: unique for each key, and valid on every system."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clearcast.core.files import IMAGE_SUFFIXES
from clearcast.inference.image_outputs import ignores_name_case, image_output_path

WORDS = st.sampled_from(
    [
        *"aAb.%~:\\ßé",
        "..",
        "%2e",
        "2e",
        "con",
        "NUL",
        "SS",
        "e\u0301",
        ".file",
        "#2",
        ".PNG",
        ".JPG",
        "",
        " ",
        "\n",
        "\udcff",
        "\ud800",
        "x" * 100,
        "部" * 60,
        *sorted(IMAGE_SUFFIXES),
    ]
)
PARTS = st.lists(WORDS, min_size=1, max_size=4).map("".join).map(lambda text: text[:255])
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@settings(max_examples=400, deadline=None)
@given(st.lists(KEYS, min_size=2, max_size=8, unique=True), st.sampled_from([".png", ".jpg"]), st.booleans())
@example(["a", "a.png", "a.png.png", "a.file", "a.file.png", "a.jpg", "a.jpg.png", "A.png"], ".png", True)
@example(["a.png", "a.png/b.png", "../a.png", "/a.png", "./a.png", "%2f/a.png", "b//a.png", "b/a.png"], ".png", True)
def test_no_two_keys_share_a_name(keys: list[str], suffix: str, folds: bool) -> None:
    names = [image_output_path(key, suffix, folds=folds).as_posix() for key in keys]
    distinct = [folded(name) for name in names] if folds else names
    assert len(set(distinct)) == len(keys)
    for one in distinct:  # nor is one a folder of another
        assert not any(other.startswith(f"{one}/") for other in distinct)


@settings(max_examples=400, deadline=None)
@given(KEYS, st.booleans())
def test_names_are_valid_on_every_system(key: str, folds: bool) -> None:
    path = image_output_path(key, ".png", folds=folds)
    assert not path.is_absolute()
    assert path.suffix == ".png"
    assert len(path.parts) == len(key.split("/"))
    for part in path.parts:
        assert 0 < len(part.encode()) <= 255
        assert not set(part) & set('<>:"|?*\\\0\n')
        assert part[0] != "."
        assert part[-1] not in ". "
        assert part.partition(".")[0].lower() not in {"con", "nul"}


@pytest.mark.parametrize("key", ["x" * 251 + ".png", "部" * 83 + ".jpg", "n" * 247 + ".jpg"])
def test_a_name_of_maximum_length_can_be_written(tmp_path: Path, key: str) -> None:
    path = tmp_path / image_output_path(key, ".png")
    path.write_bytes(b"")
    assert image_output_path(key, ".png") != image_output_path(f"y{key[1:]}", ".png")


def test_case_sensitivity_of_a_folder_is_detected(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert ignores_name_case(tmp_path) is (tmp_path / "A").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
