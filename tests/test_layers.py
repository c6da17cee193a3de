import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import clearcast

SOURCE = Path(clearcast.__file__).parent
FLOORS = (  # lowest first; a module may import from its own floor or a lower one
    {
        "clearcast",
        "errors",
        "cells",
        "files",
        "filenames",
        "file_kinds",
        "terminal",
        "progress",
        "checks",
        "log_odds",
    },
    {"decoding"},
    {"imaging"},
    {"noise", "domain", "disks", "rivals"},
    {"data"},
    {"models"},
    {"training"},
    {"evaluation"},
    {"runtime"},
    {"bundle"},
    {"report"},
    {"station"},
    {"demo"},
    {"cli"},
)
HEAVY = ("torch", "lightning", "matplotlib", "sklearn", "skimage", "torchmetrics")
TRAINING = (*HEAVY, "scipy", "onnx", "onnxscript", "safetensors", "pydantic")  # what comes with the extra "train"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def floor(module: str) -> int:
    """Return the floor of a module; the lowest for the package itself."""
    room = [*module.split("."), "clearcast"][1]
    floors = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert floors, f"{module} stands on no floor: name one in {Path(__file__).name} and in the documents"
    return floors[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Iterate over the modules of the package that the code imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "clearcast")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "clearcast":
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else str(node.module) for name in whole)


def loaded_after(*modules: str) -> set[str]:
    """Return the top-level packages that a new interpreter has loaded after importing some modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("module", [module for module in MODULES if module != "clearcast"])  # it imports all
def test_no_module_imports_from_a_higher_floor(module: str) -> None:
    higher = [name for name in imported(ast.parse(MODULES[module].read_text("utf-8"))) if floor(name) > floor(module)]

    assert not higher, f"{module} imports {', '.join(higher)} from a higher floor"


def test_the_walk_sees_every_form_of_import() -> None:
    code = """
import clearcast.report.page
from clearcast.core import imaging; from clearcast import __version__
def later():
    from clearcast.data import sheet
    from clearcast.data.sheet import SheetRow
    import torch
"""
    assert list(imported(ast.parse(code))) == [
        "clearcast.report.page",
        "clearcast.core.imaging",
        "clearcast",
        "clearcast.data.sheet",
        "clearcast.data.sheet",
    ]
    assert floor("clearcast") < floor("clearcast.core.imaging") < floor("clearcast.data.sheet") < floor("clearcast.cli")


def test_the_command_line_starts_without_heavy_packages() -> None:
    commands = [module for module in MODULES if module.startswith("clearcast.cli")]

    assert len(commands) > 5
    assert not loaded_after("clearcast", *commands).intersection(HEAVY)


def test_the_lower_floors_need_no_heavy_packages() -> None:
    lower = [module for module in MODULES if floor(module) <= floor("clearcast.data")]

    assert len(lower) > 10
    assert not loaded_after(*lower).intersection(HEAVY)


def test_the_runtime_needs_nothing_of_training() -> None:
    runtime = [module for module in MODULES if module.startswith("clearcast.bundle")]

    assert len(runtime) > 4
    assert not loaded_after(*runtime).intersection(TRAINING)
