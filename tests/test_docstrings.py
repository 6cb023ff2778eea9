"""Docstrings: every public function of two or more arguments has one entry for each, every dataclass one a field.

The form of a docstring (Google style) is checked by ruff. What ruff does not check is that an ``Args`` section is there
at all, and that no entry stands for several arguments. ``python tests/test_docstrings.py FOLDER …`` lists what lacks.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("slth", "proofs_check")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def lacking(path: Path) -> Iterator[str]:
    """One line for each public function or dataclass of a file that lacks entries."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = _option_types(tree)
    for node in tree.body:
        if isinstance(node, Function):
            yield from _check(path, node, node.name, aliases)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for part in node.body:
                if isinstance(part, Function):
                    yield from _check(path, part, f"{node.name}.{part.name}", aliases)
            fields = [name for part in node.body if (name := _field_name(part))]
            if fields and _is_dataclass(node):
                missing = _missing(ast.get_docstring(node) or "", "Attributes", fields)
                if missing:
                    yield f"{path}:{node.lineno} {node.name}: no entry of its own for {', '.join(missing)}"


def _check(path: Path, node: Function, name: str, aliases: set[str]) -> Iterator[str]:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    if "." in name and given and "staticmethod" not in {ast.unparse(one) for one in node.decorator_list}:
        given = given[1:]
    if any(_is_option(one, aliases) for one in given):
        return  # a command: its options carry their help, and the docstring is printed by --help
    names = [one.arg for one in given]
    names += [f"{stars}{one.arg}" for stars, one in (("*", node.args.vararg), ("**", node.args.kwarg)) if one]
    text = ast.get_docstring(node) or ""
    if node.name.startswith("_") or len(names) < 2 or re.fullmatch(r"See :class:`~?[\w.]+`\.", text):
        return
    missing = _missing(text, "Args", [one for one in names if not one.startswith("_")])
    if missing:
        yield f"{path}:{node.lineno} {name}: no entry of its own for {', '.join(missing)}"


def _missing(text: str, section: str, names: list[str]) -> list[str]:
    """Names without an entry ``name: …`` (or ``name (type): …``) that begins a line of a section."""
    found = re.search(rf"^{section}:\n((?:(?: +.*)?\n?)+)", text, re.MULTILINE)
    body = found[1] if found else ""
    return [name for name in names if not re.search(rf"^    {re.escape(name)}(?: \(.*?\))?: ", body, re.MULTILINE)]


def _option_types(tree: ast.Module) -> set[str]:
    """Names of a module that stand for an annotated option of a command."""
    made = [node for node in tree.body if isinstance(node, ast.Assign) and "typer." in ast.unparse(node.value)]
    return {"Json"} | {one.id for node in made for one in node.targets if isinstance(one, ast.Name)}


def _is_option(argument: ast.arg, aliases: set[str]) -> bool:
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    return "typer." in annotation or annotation in aliases


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(one) for one in node.decorator_list) or any(
        ast.unparse(base).endswith(("BaseModel", "Point")) for base in node.bases
    )


def _field_name(node: ast.stmt) -> str:
    """The name of a public field that a statement declares; empty for any other statement."""
    name = node.target.id if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else ""
    return "" if name == "model_config" or name.startswith("_") else name


def sources(folders: tuple[str, ...] = PACKAGES) -> list[Path]:
    """The Python files of some folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_every_argument_and_field_has_an_entry_of_its_own() -> None:
    wrong = [line.replace(f"{ROOT}/", "") for path in sources() for line in lacking(path)]
    assert not wrong, "\n".join(wrong)


def test_the_reader_sees_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "new.py"
    path.write_text(
        'def good(a, b):\n    """Add.\n\n    Args:\n        a: one.\n        b: two.\n    """\n'
        'def joined(a, b):\n    """Add.\n\n    Args:\n        a, b: both.\n    """\n'
        'def none(a, *, b):\n    """Add."""\n'
        'def _private(a, b): ...\n'
        '@dataclass\nclass Pair:\n    """Two.\n\n    Attributes:\n        a: one. b: two.\n    """\n\n'
        "    a: int\n    b: int\n"
    )  # fmt: skip
    assert [line.split(" ", 1)[1] for line in lacking(path)] == [
        "joined: no entry of its own for a, b",
        "none: no entry of its own for a, b",
        "Pair: no entry of its own for b",
    ]


if __name__ == "__main__":
    for found in (line for folder in sys.argv[1:] for path in sources((folder,)) for line in lacking(path)):
        print(found)
