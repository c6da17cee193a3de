"""Signed bundles: every command that requires a signature rejects every kind of forgery."""

import base64
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from hypothesis import given
from hypothesis import strategies as st

import clearcast
from clearcast import cli
from clearcast.bundle.archive import copy_bundle, open_package
from clearcast.bundle.manifest import MANIFEST_FILE, SIGNATURE_FILE, manifest_seal
from clearcast.bundle.signing import (
    TrustedSigners,
    generate_keys,
    read_private_key,
    read_trusted_signers,
    sign_manifest,
)
from clearcast.core.errors import OutputError
from clearcast.station.service.lazy_bundle import LazyBundle
from tests.inference.handmade import update_manifest, write_bundle, write_images

UNSIGNED = "is not signed, and only bundles signed by a trusted key are accepted"
UNTRUSTED = "is signed by a key that is not trusted"
CHANGED = "the manifest was changed after it was signed"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pairs of keys."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("line", "other"):
        generate_keys(folder / f"{name}.key", folder / f"{name}.pub")
    return folder


@pytest.fixture(scope="module")
def signed(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    copy_bundle(write_bundle(folder / "unsigned"), folder / "signed", key=keys / "line.key")
    return folder / "signed"


def trust(keys: Path, *names: str) -> TrustedSigners:
    return read_trusted_signers([keys / f"{name}.pub" for name in names])


def copied(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "copy"))


def forge_manifest(folder: Path, edit: Callable[[Any], object]) -> Path:
    """Edit the manifest and renew its seal, as a forger would."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    edit(manifest)
    manifest["seal"] = manifest_seal(manifest)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest), "utf-8")
    return folder


def test_the_signature_is_ed25519_over_the_bytes_of_the_manifest(signed: Path, keys: Path) -> None:
    found = json.loads((signed / SIGNATURE_FILE).read_text("utf-8"))
    public = load_pem_public_key((keys / "line.pub").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    public.verify(base64.b64decode(found["signature"]), (signed / MANIFEST_FILE).read_bytes())
    assert base64.b64decode(found["key"]) == public.public_bytes_raw()


def test_a_signed_bundle_is_accepted_with_its_key(signed: Path, keys: Path) -> None:
    for trusted in (trust(keys, "line"), trust(keys, "other", "line"), None):
        assert open_package(signed, trusted).manifest == open_package(signed).manifest
    one = keys / "line.pub"
    options: list[str | Path | list[str | Path] | None] = [one, str(one), [one], [str(one), keys / "other.pub"], None]
    for trusted_keys in options:
        assert clearcast.load(signed, trust=trusted_keys).manifest == open_package(signed).manifest


def test_a_signature_stays_from_folder_to_zip_and_back(signed: Path, keys: Path, tmp_path: Path) -> None:
    copy_bundle(signed, tmp_path / "a.zip", trust=trust(keys, "line"))
    copy_bundle(tmp_path / "a.zip", tmp_path / "b", trust=trust(keys, "line"))
    for name in (MANIFEST_FILE, SIGNATURE_FILE):
        assert (tmp_path / "b" / name).read_bytes() == (signed / name).read_bytes()
    assert open_package(tmp_path / "b", trust(keys, "line"))


def test_another_key_replaces_the_signature(signed: Path, keys: Path, tmp_path: Path) -> None:
    copy_bundle(signed, tmp_path / "b.zip", key=keys / "other.key")
    assert open_package(tmp_path / "b.zip", trust(keys, "other"))
    with pytest.raises(OutputError, match=UNTRUSTED):
        open_package(tmp_path / "b.zip", trust(keys, "line"))


def test_an_unsigned_bundle_is_rejected(signed: Path, keys: Path, tmp_path: Path) -> None:
    folder = copied(signed, tmp_path)
    (folder / SIGNATURE_FILE).unlink()
    copy_bundle(folder, tmp_path / "copy.zip")
    for path in (folder, tmp_path / "copy.zip"):
        with pytest.raises(OutputError, match=UNSIGNED):
            open_package(path, trust(keys, "line"))


def test_a_bundle_signed_by_another_is_rejected(signed: Path, keys: Path) -> None:
    with pytest.raises(OutputError, match=UNTRUSTED):
        open_package(signed, trust(keys, "other"))


@pytest.mark.parametrize(
    "edit",
    [
        lambda manifest: manifest.update(threshold=0.99),
        lambda manifest: manifest["judge"].update(retake_distance=0.0),
        lambda manifest: manifest.update(created="2026-01-02"),
        lambda _: None,  # the same content in other bytes
    ],
)
def test_a_manifest_that_was_changed_is_rejected(
    signed: Path, keys: Path, tmp_path: Path, edit: Callable[[Any], object]
) -> None:
    folder = forge_manifest(copied(signed, tmp_path), edit)
    assert open_package(folder), "without a required signature the change is not detected"
    with pytest.raises(OutputError, match=CHANGED):
        open_package(folder, trust(keys, "line"))


def test_a_file_that_was_changed_with_its_hash_is_rejected(signed: Path, keys: Path, tmp_path: Path) -> None:
    folder = copied(signed, tmp_path)
    kept = (folder / SIGNATURE_FILE).read_bytes()
    (folder / "inspect.onnx").write_bytes(b"another graph")
    assert not (update_manifest(folder) / SIGNATURE_FILE).exists(), "a manifest that is written again is not signed"
    with pytest.raises(OutputError, match=UNSIGNED):
        open_package(folder, trust(keys, "line"))
    (folder / SIGNATURE_FILE).write_bytes(kept)
    with pytest.raises(OutputError, match=CHANGED):
        open_package(folder, trust(keys, "line"))


def test_a_changed_file_is_rejected(signed: Path, keys: Path, tmp_path: Path) -> None:
    folder = copied(signed, tmp_path)
    (folder / "survey.onnx").write_bytes(b"another graph")
    with pytest.raises(OutputError, match=r"survey\.onnx is not the file that was written"):
        clearcast.load(folder, trust=keys / "line.pub")


def test_a_signature_by_another_key_that_claims_to_be_the_trusted_one_is_rejected(
    signed: Path, keys: Path, tmp_path: Path
) -> None:
    folder = copied(signed, tmp_path)
    claimed = json.loads((signed / SIGNATURE_FILE).read_text("utf-8"))["key"]
    other = json.loads(sign_manifest((folder / MANIFEST_FILE).read_bytes(), read_private_key(keys / "other.key")))
    (folder / SIGNATURE_FILE).write_text(json.dumps(other | {"key": claimed}))
    with pytest.raises(OutputError, match=CHANGED):
        open_package(folder, trust(keys, "line"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 9000,
        b'{"key": 1, "signature": ""}',
        b'{"key": "!", "signature": "!"}',
        b'{"key": "", "signature": ""}',
        b'{"key": "\xc3\xa9", "signature": ""}',
    ],
)
def test_an_invalid_signature_file_is_rejected(signed: Path, keys: Path, tmp_path: Path, text: bytes) -> None:
    folder = copied(signed, tmp_path)
    (folder / SIGNATURE_FILE).write_bytes(text)
    with pytest.raises(OutputError, match=f"the signature is damaged|{UNTRUSTED}"):
        open_package(folder, trust(keys, "line"))


@given(place=st.integers(0, 511), data=st.binary(max_size=70))
def test_every_other_signature_is_rejected(signed: Path, keys: Path, place: int, data: bytes) -> None:
    text, content = (signed / MANIFEST_FILE).read_bytes(), json.loads((signed / SIGNATURE_FILE).read_bytes())
    genuine = bytearray(base64.b64decode(content["signature"]))
    genuine[place // 8] ^= 1 << place % 8
    for other in (bytes(genuine), data):
        wrong = json.dumps(content | {"signature": base64.b64encode(other).decode()}).encode()
        with pytest.raises(OutputError, match=CHANGED):
            trust(keys, "line").require(text, wrong, "bundle")


def test_keys_are_secret_and_never_overwritten(keys: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE((keys / "line.key").stat().st_mode) == 0o600
    before = (keys / "line.key").read_bytes()
    for names in (("line.key", "new.pub"), ("new.key", "line.pub")):
        with pytest.raises(OutputError, match="already exists, and a key is never overwritten"):
            generate_keys(keys / names[0], keys / names[1])
    assert (keys / "line.key").read_bytes() == before
    assert sorted(path.name for path in keys.iterdir()) == ["line.key", "line.pub", "other.key", "other.pub"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        generate_keys(tmp_path / "file" / "a.key", tmp_path / "file" / "a.pub")


def test_a_file_that_is_not_an_ed25519_key_is_rejected(keys: Path, tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048)
    (tmp_path / "rsa.pub").write_bytes(rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "rsa.key").write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key = load_pem_private_key((keys / "line.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    (tmp_path / "locked.key").write_bytes(locked)
    (tmp_path / "junk").write_bytes(b"junk")
    for path, reason in (
        (keys / "line.key", "got a private one"),
        (tmp_path / "rsa.pub", "expected an Ed25519 key"),
        (tmp_path / "junk", "expected a public key"),
        (tmp_path / "none", "cannot be read"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(OutputError, match=reason):
            read_trusted_signers([path])
    for path, reason in (
        (keys / "line.pub", "expected a private key"),
        (tmp_path / "rsa.key", "expected an Ed25519 key"),
        (tmp_path / "locked.key", "expected a private key"),
        (tmp_path / "junk", "expected a private key"),
        (tmp_path / "none", "cannot be read"),
    ):
        with pytest.raises(OutputError, match=reason):
            read_private_key(path)


def test_an_empty_list_of_trusted_keys_is_rejected(signed: Path) -> None:
    with pytest.raises(OutputError, match="expected at least one public key"):
        clearcast.load(signed, trust=[])


def test_the_station_checks_the_signature_at_every_load(signed: Path, keys: Path, tmp_path: Path) -> None:
    lazy = LazyBundle(tmp_path / "copy", 1, trust(keys, "line"))
    lazy.try_to_load()
    assert "no such folder" in lazy.fault
    folder = copied(signed, tmp_path)
    kept = (folder / SIGNATURE_FILE).read_bytes()
    for content, reason in ((None, UNSIGNED), (b"{}", "the signature is damaged")):
        (folder / SIGNATURE_FILE).unlink(missing_ok=True)
        if content:
            (folder / SIGNATURE_FILE).write_bytes(content)
        lazy.try_to_load()
        assert lazy.loaded is None
        assert reason in lazy.fault
    (folder / SIGNATURE_FILE).write_bytes(kept)
    lazy.try_to_load()
    assert lazy.loaded
    assert lazy.fault == ""


WITH_BUNDLES = ("predict", "watch", "serve", "verify", "evaluate", "compare", "benchmark", "tune", "distill", "export")


def test_every_command_with_a_bundle_has_the_trust_option() -> None:
    commands = typer.main.get_command(cli.build_application([])).commands  # type: ignore[attr-defined]
    taking = {
        name
        for name, command in commands.items()
        if any("undle" in str(getattr(each, "help", "") or each.name) for each in command.params if each.name != "out")
        or "BUNDLE" in {each.metavar for each in command.params}
    }
    trusting = {name for name, command in commands.items() if "trust" in {each.name for each in command.params}}
    assert trusting == set(WITH_BUNDLES)
    assert taking - {"train", "keygen"} <= trusting | {"study", "report", "feedback"}


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "BUNDLE", "PARTS", "--out", "OUT.csv"],
        ["watch", "BUNDLE", "PARTS", "--out", "OUT.csv", "--once"],
        ["verify", "BUNDLE"],
        ["evaluate", "BUNDLE", "SHEET"],
        ["compare", "SIGNED", "BUNDLE", "SHEET"],
        ["compare", "BUNDLE", "SIGNED", "SHEET"],
        ["benchmark", "BUNDLE", "PARTS"],
        ["benchmark", "SHEET", "--bundle", "BUNDLE", "--out", "OUT"],
        ["tune", "BUNDLE", "OUT"],
        ["distill", "BUNDLE", "--out", "OUT"],
        ["export", "BUNDLE", "OUT"],
        ["export", "BUNDLE", "OUT.zip", "--sign", "KEY"],
    ],
    ids=" ".join,
)
def test_no_command_accepts_an_unsigned_bundle_with_the_trust_option(
    command: list[str],
    signed: Path,
    keys: Path,
    noisy_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_images(tmp_path / "parts", 1)
    places = {
        "BUNDLE": write_bundle(tmp_path / "bundle"),
        "SIGNED": signed,
        "PARTS": tmp_path / "parts",
        "SHEET": noisy_folder / "Labels.xlsx",
        "OUT": tmp_path / "out",
        "OUT.csv": tmp_path / "out.csv",
        "OUT.zip": tmp_path / "out.zip",
        "KEY": keys / "line.key",
    }
    arguments = [str(places.get(word, word)) for word in command]
    monkeypatch.setattr(sys, "argv", ["clearcast", *arguments, "--trust", str(keys / "line.pub")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert UNSIGNED in " ".join(capsys.readouterr().err.split())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("out", ".out"))]


def test_keys_and_signatures_by_the_command_line(tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from clearcast.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    write_bundle(tmp_path / "bundle")
    write_images(tmp_path / "parts", 1)
    assert "line.key" in run("keygen", "line").stdout
    assert run("keygen", "line").returncode == 1
    assert run("export", "bundle", "signed.zip", "--sign", "line.key").returncode == 0
    predicted = run("predict", "signed.zip", "parts", "--out", "out.csv", "--trust", "line.pub")
    assert predicted.returncode == 0, predicted.stderr
    rejected = run("predict", "bundle", "parts", "--out", "other.csv", "--trust", "line.pub")
    assert (rejected.returncode, rejected.stdout) == (1, "")
    assert len(rejected.stderr.splitlines()) == 1
