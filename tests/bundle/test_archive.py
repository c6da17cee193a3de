import json
import zipfile
from pathlib import Path

import pytest

from clearcast.bundle import archive
from clearcast.bundle.archive import copy_bundle, open_package, zip_bundle
from clearcast.bundle.manifest import (
    BUNDLE_FORMAT,
    MANIFEST_FILE,
    Manifest,
    bundle_fingerprint,
    manifest_seal,
    sha256_hex,
)
from clearcast.core.errors import OutputError
from tests.bundle.manifests import read_manifest
from tests.inference.handmade import write_bundle

FILES = {"inspect.onnx": b"graph", "golden/0.png": b"image"}


def manifest_of(files: dict[str, bytes]) -> dict[str, object]:
    hashes = {name: sha256_hex(data) for name, data in files.items()}
    filled = dict.fromkeys(Manifest.__required_keys__, None)
    manifest = {**filled, "format": BUNDLE_FORMAT, "files": hashes, "fingerprint": bundle_fingerprint(hashes)}
    manifest |= {"recipe": "clear", "clearcast": "0", "created": "2026-01-01"}
    manifest |= {"trained_on": {"sheet": "Labels.xlsx", "channels": "grey"}}
    return {**manifest, "seal": manifest_seal(manifest)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "castings" / "golden").mkdir(parents=True)
    for name, data in FILES.items():
        (tmp_path / "castings" / name).write_bytes(data)
    (tmp_path / "castings" / MANIFEST_FILE).write_text(json.dumps(manifest_of(FILES)))
    return tmp_path / "castings"


def zipped(path: Path, entries: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def test_a_folder_and_its_zip_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    zip_bundle(folder, tmp_path / "castings.zip")
    zip_bundle(folder, tmp_path / "second.zip")
    for path in (folder, tmp_path / "castings.zip"):
        opened = open_package(path)
        assert opened.name == "castings"
        assert {name: opened.read(name) for name in opened.names()} == FILES
        assert read_manifest(path) == opened.manifest
    assert (tmp_path / "castings.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["castings", "castings.zip", "second.zip"]


def test_a_bundle_becomes_a_zip_and_a_folder_again_and_nothing_is_overwritten(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    copy_bundle(bundle, tmp_path / "new" / "one.zip")
    copy_bundle(tmp_path / "new" / "one.zip", tmp_path / "copy")
    files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()} == files
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.zip"]
    with pytest.raises(OutputError, match="already exists"):
        copy_bundle(bundle, tmp_path / "copy")
    (bundle / "survey.onnx").write_bytes(b"other")
    with pytest.raises(OutputError, match=r"survey\.onnx is not the file that was written"):
        copy_bundle(bundle, tmp_path / "damaged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "copy", "new"]


def test_a_file_that_is_not_listed_is_not_read(folder: Path) -> None:
    (folder / "results.csv").write_text("the user's")
    opened = open_package(folder)
    for name in ("results.csv", "../castings/inspect.onnx"):
        with pytest.raises(OutputError, match="has no "):
            opened.read(name)


def test_another_format_is_rejected(folder: Path) -> None:
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest_of(FILES) | {"format": 1}))
    with pytest.raises(OutputError, match=r"expected a bundle of format 2, got format 1"):
        open_package(folder)


def test_a_manifest_with_changed_hashes_is_rejected(folder: Path) -> None:
    changed = manifest_of(FILES) | {"files": {name: sha256_hex(b"other") for name in FILES}}
    (folder / MANIFEST_FILE).write_text(json.dumps(changed))
    with pytest.raises(OutputError, match="was changed"):
        open_package(folder)


@pytest.mark.parametrize(
    "words", [('"threshold": 0.5', '"threshold": 0.9'), ('"grey"', '"rgb"'), ("every part", "No part")]
)
def test_a_changed_manifest_is_rejected(tmp_path: Path, words: tuple[str, str]) -> None:
    bundle = write_bundle(tmp_path / "bundle", has_classifier="every part" not in words)
    text = (bundle / MANIFEST_FILE).read_text("utf-8")
    assert words[0] in text
    assert open_package(bundle).manifest == json.loads(text)
    (bundle / MANIFEST_FILE).write_text(text.replace(*words), "utf-8")
    with pytest.raises(OutputError, match=r"manifest\.json was changed \(seal\)"):
        open_package(bundle)
    (bundle / MANIFEST_FILE).write_text(json.dumps(json.loads(text), indent=7, sort_keys=True), "utf-8")
    assert open_package(bundle).manifest == json.loads(text)  # the same content in another format


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("../evil", b"")], r"holds '../evil', which is not a valid name in a bundle"),
        ([("/etc/passwd", b"")], "is not a valid name"),
        ([("C:evil", b"")], "is not a valid name"),
        ([("a\\b", b"")], "is not a valid name"),
        ([("a/b/c", b"")], "is not a valid name"),
        ([("inspect.onnx", b"graph"), ("inspect.onnx", b"other")], "holds 'inspect.onnx' twice"),
        ([("castings/manifest.json", b"{}"), ("castings/golden/0.png", b"")], "zip the content of the folder"),
        ([(MANIFEST_FILE, b"{}")], "format None"),
        ([(MANIFEST_FILE, b'{"format')], "damaged"),
        ([(MANIFEST_FILE, json.dumps(manifest_of(FILES)).encode())], "golden/0.png is missing"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_is_not_a_bundle_is_rejected(tmp_path: Path, entries: list[tuple[str, bytes]], words: str) -> None:
    with pytest.raises(OutputError, match=words):
        read_manifest(zipped(tmp_path / "bundle.zip", entries))


def test_a_zip_that_unpacks_to_too_many_bytes_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr(MANIFEST_FILE, bytes(2000))
    with pytest.raises(OutputError, match="unpacks to more than 1,000 bytes"):
        open_package(path)


def test_a_zip_never_unpacks_more_than_its_listed_sizes(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "false.zip"
    zip_bundle(folder, path)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"inspect.onnx") - 46 + 24  # the unpacked size, in the central directory
    assert int.from_bytes(data[place : place + 4], "little") == len(b"graph")
    data[place] = 2
    path.write_bytes(data)
    with pytest.raises(OutputError, match=r"inspect\.onnx"):
        open_package(path).read("inspect.onnx")


def test_a_zip_with_an_unsupported_compression_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr(MANIFEST_FILE, json.dumps(manifest_of(FILES)))
    with pytest.raises(OutputError, match=r"manifest\.json uses an unsupported compression"):
        open_package(path)


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_a_truncated_zip_is_rejected(folder: Path, tmp_path: Path, keep: int) -> None:
    zip_bundle(folder, tmp_path / "whole.zip")
    (tmp_path / "part.zip").write_bytes((tmp_path / "whole.zip").read_bytes()[:keep])
    with pytest.raises(OutputError, match="neither a bundle's folder nor a complete zip"):
        open_package(tmp_path / "part.zip")


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such folder or file"):
        open_package(tmp_path / "nothing")
    with pytest.raises(OutputError, match="not a bundle"):
        open_package(tmp_path)
