import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import clearcast

SOURCE = Path(clearcast.__file__).parent
LAYERS = (  # lowest first; a module may import from its own layer or a lower one
    "core",
    "noise",
    "types",
    "data",
    "synth",
    "bundle",
    "inference",
    "station",
    "metrics",
    "nn",
    "train",
    "study",
    "pipelines",
    "evaluation",
    "report",
    "demo",
    "cli",
)
HEAVY = ("torch", "lightning", "matplotlib", "sklearn", "skimage", "torchmetrics")
TRAINING = (*HEAVY, "scipy", "onnx", "onnxscript", "safetensors", "pydantic")  # what comes with the extra "train"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def layer(module: str) -> int:
    """Return the layer of a module; the lowest for the package itself."""
    name = [*module.split("."), LAYERS[0]][1]
    assert name in LAYERS, f"{module} has no layer: add one in {Path(__file__).name} and in docs/architecture.md"
    return LAYERS.index(name)


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
def test_no_module_imports_from_a_higher_layer(module: str) -> None:
    higher = [name for name in imported(ast.parse(MODULES[module].read_text("utf-8"))) if layer(name) > layer(module)]

    assert not higher, f"{module} imports {', '.join(higher)} from a higher layer"


def test_every_layer_exists_and_is_in_the_documents() -> None:
    found = {[*module.split("."), LAYERS[0]][1] for module in MODULES}
    tree = (SOURCE.parents[1] / "docs" / "architecture.md").read_text("utf-8").split("```")[1]

    assert found == set(LAYERS)
    named = re.findall(r"^  (\w+)/?,?(?: (\w+)/)?", tree, re.MULTILINE)
    assert [name for line in named for name in line if name] == list(LAYERS)


def test_the_walk_finds_every_form_of_import() -> None:
    code = """
import clearcast.report.page
from clearcast import __version__
from clearcast.core import imaging
def later():
    from clearcast.data import sheet
    from clearcast.data.sheet import SheetRow
    import torch
"""
    assert list(imported(ast.parse(code))) == [
        "clearcast.report.page",
        "clearcast",
        "clearcast.core.imaging",
        "clearcast.data.sheet",
        "clearcast.data.sheet",
    ]
    assert (
        layer("clearcast") == layer("clearcast.core.imaging") < layer("clearcast.data.sheet") < layer("clearcast.cli")
    )


def test_the_command_line_starts_without_heavy_packages() -> None:
    commands = [module for module in MODULES if module.startswith("clearcast.cli")]

    assert len(commands) > 5
    assert not loaded_after("clearcast", *commands).intersection(HEAVY)


def test_inspecting_needs_nothing_of_training() -> None:
    modules = [module for module in MODULES if layer(module) <= layer("clearcast.inference")]

    assert len(modules) > 50
    assert not loaded_after(*modules).intersection(TRAINING)


def test_the_station_and_the_report_need_no_torch() -> None:
    modules = [module for module in MODULES if module.split(".")[1:2] in (["station"], ["report"])]

    assert len(modules) > 30
    assert not loaded_after(*modules).intersection({"torch", "lightning"})
