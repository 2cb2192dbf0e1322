"""Imports go one way through the package, and importing it is cheap.

A room is a module or a sub-package of stochbind. It may import rooms to its left in `ROOMS`, and itself.
Imports inside functions and under TYPE_CHECKING count too. The package's own `__init__` is exempt: it
gives the public names lazily.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stochbind

ROOMS = (
    "errors",
    "checks",
    "elementary",
    "compiling",
    "optics",
    "propagation",
    "stability",
    "forces",
    "fields",
    "amplitudes",
    "langevin",
    "protocols",
    "oscillators",
    "modes",
    "quantum",
    "bridge",
    "quantities",
    "scenario",
    "engine",
    "analysis",
    "plots",
    "studies",
    "reports",
    "cli",
    "__main__",
)
APART = {("langevin", "optics"), ("oscillators", "optics"), ("analysis", "engine")}
HEAVY = ("numba", "dask", "distributed", "matplotlib", "sdeint", "xarray")

PACKAGE = Path(stochbind.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py"))


def imported(source, path):
    """Yield (line, room) for each import from stochbind; the room is "" for the package's `__init__`."""
    package = Path(path).parent.parts  # of the module, as relative imports see it
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) + 1 - node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            targets = [[*base, alias.name] for alias in node.names if not alias.name.startswith("__")]
        else:
            continue
        for target in targets:
            if target[0] == "stochbind":
                room = target[1] if len(target) > 1 else ""
                is_public_name = isinstance(node, ast.ImportFrom) and len(target) == 2 and room not in ROOMS
                yield node.lineno, "" if is_public_name else room


def faults(source, path):
    """Return what is wrong with the imports of a module, one sentence each."""
    if path == "stochbind/__init__.py":
        return []
    room = Path(path).parts[1].removesuffix(".py")
    if room not in ROOMS:
        return [
            f"{path}: the room `{room}` is unknown: add it to ROOMS in tests/test_import_order.py, to the "
            "right of every room it imports and to the left of every room that imports it."
        ]
    found = []
    for line, other in imported(source, path):
        if other == "":
            reason = "import the room that defines the name, not stochbind itself"
        elif other not in ROOMS:
            reason = f"the room `{other}` is unknown"
        elif ROOMS.index(other) > ROOMS.index(room):
            reason = f"`{room}` may import only what is to its left in {' < '.join(ROOMS)}"
        elif (room, other) in APART:
            reason = f"`{room}` must know nothing of `{other}`"
        else:
            continue
        found.append(f"{path}:{line}: imports {other or 'the public names'}: {reason}.")
    return found


@pytest.mark.parametrize("path", MODULES)
def test_imports_go_one_way(path):
    found = faults((PACKAGE.parent / path).read_text(encoding="utf-8"), path)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("stochbind/langevin.py", "from stochbind.engine.plan import Plan"),
        ("stochbind/langevin.py", "import stochbind.scenario"),
        ("stochbind/langevin.py", "from stochbind import engine"),
        ("stochbind/langevin.py", "from . import engine"),
        ("stochbind/optics/green.py", "from ..engine import plan"),
        ("stochbind/optics/green.py", "from .. import engine"),
        ("stochbind/optics/__init__.py", "def late():\n    from ..cli import main"),
        ("stochbind/checks.py", "if TYPE_CHECKING:\n    from stochbind.langevin import Langevin"),
        ("stochbind/langevin.py", "from stochbind.optics import green"),
        ("stochbind/oscillators.py", "from .optics import green"),
        ("stochbind/analysis/spectra.py", "from stochbind.engine.store import Store"),
        ("stochbind/engine/plan.py", "from stochbind import Scenario"),
        ("stochbind/engine/plan.py", "import stochbind"),
        ("stochbind/engine/plan.py", "import stochbind.elsewhere"),
        ("stochbind/elsewhere.py", ""),
    ],
)
def test_a_wrong_import_is_reported(path, source):
    (sentence,) = faults(source, path)
    assert sentence.startswith(path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("stochbind/optics/green.py", "from stochbind.checks import array"),
        (
            "stochbind/optics/green.py",
            "from . import beams\nfrom .gas import damping_rate\nfrom ..errors import X",
        ),
        ("stochbind/engine/plan.py", "import numpy\nfrom stochbind import __version__, checks"),
        ("stochbind/__init__.py", "from stochbind.cli import main"),
    ],
)
def test_a_right_import_is_not(path, source):
    assert faults(source, path) == []


def heavy_after(statement):
    """Return which heavy packages a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_importing_the_package_is_cheap():
    assert heavy_after("import stochbind") == []


def test_a_heavy_import_is_seen():
    assert heavy_after("import stochbind, sdeint") == ["sdeint"]
