"""Atomic replacement of files."""

from pathlib import Path

import pytest

from clearcast.core.files import replace_file


def test_the_new_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("old")

    with replace_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folders_are_created(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "split.csv"

    with replace_file(path) as temporary:
        temporary.write_text("new")

    assert path.read_text() == "new"


def test_the_temporary_file_keeps_the_suffix_and_the_folder(tmp_path: Path) -> None:
    with replace_file(tmp_path / "weights.v2.safetensors") as temporary:
        temporary.touch()

        assert temporary.parent == tmp_path
        assert temporary.suffix == ".safetensors"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_interruption_leaves_only_the_old_file(tmp_path: Path, interruption: type[BaseException]) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def interrupted() -> None:
        with replace_file(path) as temporary:
            temporary.write_text("half of the new")
            raise interruption

    with pytest.raises(interruption):
        interrupted()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_before_anything_was_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="early"), replace_file(tmp_path / "metrics.json"):
        raise ValueError("early")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "n" * 255, "\u00e4" * 125 + ".png", "\U0001f600" * 62 + ".json"])
def test_names_of_the_maximum_length_can_be_written(tmp_path: Path, name: str) -> None:
    path, other = tmp_path / name, tmp_path / f"m{name[1:]}"

    with replace_file(path) as temporary, replace_file(other) as second:
        temporary.write_text("one")
        second.write_text("two")

    assert (path.read_text(), other.read_text()) == ("one", "two")
    assert sorted(tmp_path.iterdir()) == sorted([path, other])
