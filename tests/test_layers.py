"""Arrows only point down: which part of slth may import which, read from the source with ast."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import slth

ROOT = Path(slth.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

# part → what it must not import (prefixes of dotted names). "slth" alone means anything of slth but the exceptions.
ABOVE_BASELINES = ("slth.experiments", "slth.figures", "slth.report", "slth.cli")
ABOVE_TICKETS = ("slth.baselines", *ABOVE_BASELINES)
ABOVE_RSS = ("torch", "slth.networks", "slth.tickets", "slth.data", *ABOVE_TICKETS)
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "errors.py": ("slth", "torch"),
    "environment.py": ("slth", "torch"),
    "files.py": ("slth", "torch"),
    "user_code.py": ("slth", "torch"),
    "data/": ("slth",),
    "theory/": ABOVE_RSS,
    "rss/": ABOVE_RSS,
    "networks/": ("slth.tickets", *ABOVE_TICKETS),
    "tickets/": ABOVE_TICKETS,
    "baselines/": ABOVE_BASELINES,
    "experiments/": ("slth.cli",),
    "figures/": ("slth.cli", "slth.experiments", "slth.report"),
    "report.py": ("slth.cli", "slth.experiments"),
}
ALLOWED: dict[str, tuple[str, ...]] = {
    "environment.py": ("slth.errors",),
    "files.py": ("slth.errors",),
    "user_code.py": ("slth.errors",),
    "data/": ("slth.errors", "slth.data", "slth.user_code"),
    # torch inside a function, for those who have a device; the test in a subprocess shows that nobody else loads it.
    "rss/device.py": ("torch",),
}


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports anywhere in it, also inside functions; ``from a import b`` gives a and a.b.

    Imports for type checkers alone count too: they are arrows in the reader's head.
    """
    package = ["slth", *path.relative_to(ROOT).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module" and node.args:
            names |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return names


def below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def part_of(module: str) -> str | None:
    parts = [part for part in FORBIDDEN if module == part or (part.endswith("/") and module.startswith(part))]
    return parts[0] if parts else None


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module)])
def test_arrows_point_down(module):
    part = part_of(module)
    fine = [name for place, names in ALLOWED.items() if module.startswith(place) for name in names]
    wrong = sorted(
        name
        for name in imports(ROOT / module)
        if any(below(name, prefix) for prefix in FORBIDDEN[part])
        and not (name == "slth" or any(below(name, prefix) for prefix in fine))
    )
    assert not wrong, f"slth/{module} must not import {', '.join(wrong)}"


def test_the_reader_of_imports_reads_all_forms(tmp_path, monkeypatch):
    """The test above is worth what this function sees."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "rss").mkdir()
    path = tmp_path / "rss" / "new.py"
    path.write_text(
        "import torch.nn as nn, os\nfrom slth.tickets import find\n"
        "from . import problem\nfrom ..networks import parent\n"
        "def late():\n    import slth.cli\n    import_module('scipy.linalg')\n"
    )
    found = imports(path)
    assert {"torch.nn", "os", "slth.tickets", "slth.tickets.find", "slth.rss.problem"} <= found
    assert {"slth.networks.parent", "slth.cli", "scipy.linalg"} <= found
    assert any(below(name, "torch") for name in found)
    assert not below("torchvision", "torch")


def test_the_rules_are_about_modules_that_exist():
    for part in FORBIDDEN:
        assert any(part_of(module) == part for module in MODULES), f"slth/{part} is gone: change FORBIDDEN"


@pytest.mark.parametrize(
    "statement",
    [
        "import slth",
        "import slth.rss",
        "import slth.theory",
        "from slth import solve",
        "import slth.cli",
        "import slth.experiments.runner",
        "import slth.experiments.existence",
    ],
)
def test_importing_the_engine_does_not_import_torch(statement):
    """What needs no network starts in a fraction of torch's import time."""
    code = f"{statement}\nimport sys\nprint(sorted(name for name in ('torch', 'matplotlib') if name in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module):
    """Above 300 lines there is a second noun in it."""
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= 300


def test_the_front_door_offers_what_it_names():
    assert set(dir(slth)) == set(slth.__all__)
    for name in slth.__all__:
        assert getattr(slth, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = slth.nothing
