"""No network access: these programs end as soon as Python uses the network. (Compiled code is not checked.)"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.inference.handmade import write_bundle, write_images

NETWORK_GUARD = """
import os, socket, sys

def guard(event, arguments):
    outside = event in ("socket.connect", "socket.sendto") and arguments[0].family != socket.AF_UNIX
    if outside or event in ("socket.getaddrinfo", "socket.gethostbyname"):
        print("network access:", event, arguments, file=sys.stderr, flush=True)
        os._exit(9)

sys.addaudithook(guard)
"""
MAIN = "from clearcast.cli import main; main()"
IMPORT_ALL = """
import pkgutil, clearcast
names = [module.name for module in pkgutil.walk_packages(clearcast.__path__, "clearcast.")]
for name in names:
    __import__(name)
print(len(names))
"""


def run(code: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", NETWORK_GUARD + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", ["socket.create_connection(('192.0.2.1', 80), 1)", "socket.getaddrinfo('a.test', 80)"])
def test_the_guard_detects_network_access(code: str) -> None:
    assert run(code).returncode == 9


def test_no_module_uses_the_network_when_imported() -> None:
    done = run(IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_help_check_and_predict_work_without_network(noisy_folder: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 2)
    bundle = write_bundle(tmp_path / "bundle")
    for arguments in (
        ["--help"],
        ["check", noisy_folder / "Labels.xlsx"],
        ["predict", bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", "--denoised", tmp_path / "d"],
    ):
        done = run(MAIN, *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout
