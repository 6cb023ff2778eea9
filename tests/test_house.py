"""The house: short modules, a light front door. Which part may import which is checked by import-linter."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import slth

ROOT = Path(slth.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize(
    "statement",
    [
        "import slth",
        "import slth.rss",
        "import slth.theory",
        "from slth import solve",
        "import slth.cli.app",
        "import slth.experiments.engine.runner",
        "from slth.experiments.engine import listing; listing.make_listing()",  # every study is planned
    ],
)
def test_importing_the_engine_does_not_import_torch(statement: str) -> None:
    """What needs no network starts in a fraction of torch's import time."""
    code = f"{statement}\nimport sys\nprint(sorted(name for name in ('torch', 'matplotlib') if name in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    """Above 300 lines there is a second noun in it."""
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= 300


def test_the_front_door_offers_what_it_names() -> None:
    assert set(dir(slth)) == set(slth.__all__)
    for name in slth.__all__:
        assert getattr(slth, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = slth.nothing


def test_one_name_has_one_meaning() -> None:
    """No two modules define a class or a type of the same name."""
    homes: dict[str, list[str]] = {}
    for module in MODULES:
        for node in ast.parse((ROOT / module).read_text(encoding="utf-8")).body:
            assigned = node.targets if isinstance(node, ast.Assign) else ()
            names = [target.id for target in assigned if isinstance(target, ast.Name)]
            names += [node.name] if isinstance(node, ast.ClassDef) else []
            for name in names:
                if re.fullmatch(r"[A-Z][a-z]\w*", name):
                    homes.setdefault(name, []).append(module)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_modules_have_no_twins() -> None:
    """No package has a module beside one of its plural."""
    for module in MODULES:
        assert f"{module.removesuffix('.py')}s.py" not in MODULES, module
