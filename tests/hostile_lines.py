"""Hostile command lines, made from the tree of commands itself: new commands and options are covered by themselves.

A line is a valid one with something wrong in it. What is wrong follows from the type of the argument, so that whether
the line must be refused is known without running it.
"""

from __future__ import annotations

import inspect
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from known_lines import CONFLICTS, VALID

NOT_UTF8 = os.fsdecode(b"bad\xff")
# Words that are no whole number ≥ 0 of any size that makes sense, and words that are one, in an unusual way.
BAD_INTEGERS = ("", " ", "x", "1.5", "inf", "nan", "1e400", "-1", "0x10", "1\x1b[2J", "1" + "0" * 30, "9" * 5000)
ODD_INTEGERS = ("0", "٣", "+1", "1_0")
BAD_FLOATS = ("", "x", "nan", "inf", "-inf", "1e400", "-1", "1,5", "1/2", "\x07", "nan(1)")
ODD_FLOATS = ("0", "1e-320", "1e300", "٣", "1_0")
BAD_TEXTS = ("", " ", "\x1b[31mred", "[bold]", "x" * 5000, NOT_UTF8, "none", "ñ\u202e", "../..", "a=", "=1", "1e400")
# Options that take any text, or any number: a hostile value of theirs may be fine.
FREE = {
    "ticket find": {"task", "data", "licence"},
    "proofs": {"only"},
}
HUGE = "1" + "0" * 30
# Values that are hostile elsewhere and fine here: a limit above what there is, a seed of any size, no unknown data.
FINE = {
    ("ticket certify", "limit", HUGE),
    ("ticket evaluate", "limit", HUGE),
    ("rss solve", "seed", HUGE),
    ("train", "unknown", ""),
}
# Paths that a command writes to; all others are read. Those of FOLDERS are folders, made if need be.
OUTPUTS = {"out", "onnx", "torch_export", "safetensors", "csv", "parquet", "tensorboard"}
FOLDERS = {("study run", "out"), ("compare", "out"), ("demo", "out"), ("train", "out"), ("train", "tensorboard")}
SUFFIXES = {"ticket find": ".slth", "rss solve": ".npz", "bounds plot": ".png", "study export": ".csv"}
# Files that are not what they are taken for: name → content.
BROKEN = {
    "empty": b"",
    "text.slth": b"not a ticket\n",
    "zeros.slth": bytes(4096),
    "short.npz": b"PK\x03\x04" + bytes(26),
    "broken.npy": b"\x93NUMPY\x01\x00\xff\xff{'descr'",
    "broken.safetensors": b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    "list.safetensors": b"\x02\x00\x00\x00\x00\x00\x00\x00[]",
    "broken.toml": b"[[grid]\n\xff",
    "broken.py": b"def broken(:\n",
}


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command.

    Attributes:
        name: as in Python.
        option: ``--name``; empty for an argument.
        kind: str, int, float, bool or Path.
        required: whether the parser asks for it.
    """

    name: str
    option: str
    kind: type
    required: bool


@dataclass(frozen=True)
class Line:
    """A command line.

    Attributes:
        words: what follows ``slth``.
        wrong: what is wrong with it, for messages; empty if nothing is known to be wrong.
    """

    words: tuple[str, ...]
    wrong: str = ""


def commands(tree: Any) -> dict[str, list[Parameter]]:
    """Every command of the program with its parameters."""
    return dict(_leaves(tree, ()))


def lines(command: str, parameters: list[Parameter], folder: Path) -> Iterator[Line]:
    """The lines of one command.

    Args:
        command: its words, with blanks between.
        parameters: of the command.
        folder: that holds the files of :data:`BROKEN` and those that :mod:`known_lines` names.
    """
    valid = _valid(command, parameters, folder)
    start = tuple(command.split())
    yield Line((*start, *_words(valid)))
    for wrong, more in (("extra argument", "surplus"), ("unknown option", "--no-such-option"), ("", "--help")):
        yield Line((*start, *_words(valid), more), wrong)
    for conflict in CONFLICTS.get(command, ()):
        yield Line((*start, *(_placed(word, folder) for word in conflict.split())), "a conflict")
    singles: list[tuple[dict[str, tuple[str, ...]], str]] = []
    for one in parameters:
        if one.required:
            yield Line((*start, *_words({key: words for key, words in valid.items() if key != one.name})), "missing")
        if one.option:
            yield Line((*start, *_words(valid), one.option), "" if one.kind is bool else "no value")
        if one.kind is bool:
            yield Line((*start, *_words(valid), f"{one.option}=maybe"), "a flag takes no value")
            continue
        for value, is_bad in _values(command, one, folder):
            given = (f"{one.option}={value}",) if one.option else ("--", value)
            changed = {key: words for key, words in valid.items() if key != one.name}
            changed[one.name] = given
            wrong = f"{one.option or one.name} {value[:40]!r}" if is_bad else ""
            singles.append((changed, wrong))
            yield Line((*start, *_words(changed)), wrong)
    draw = random.Random(command)
    for _ in range(len(parameters) if singles else 0):
        (first, wrong), (second, too) = draw.choice(singles), draw.choice(singles)
        differing = {key: words for key, words in second.items() if valid.get(key) != words}
        yield Line((*start, *_words(first | differing)), too or (wrong if not differing.keys() & first.keys() else ""))


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, list[Parameter]]]:
    for name, one in getattr(command, "commands", {}).items():
        yield from _leaves(one, (*path, name))
    if not hasattr(command, "commands"):
        hints = get_type_hints(inspect.unwrap(command.callback))
        yield " ".join(path), [_parameter(one, hints[one.name]) for one in command.params]


def _parameter(one: Any, hint: Any) -> Parameter:
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
    kind = kinds[0] if kinds[0] in (int, float, bool, Path) else str
    is_option = one.opts[0].startswith("-")
    return Parameter(name=one.name, option=one.opts[0] if is_option else "", kind=kind, required=one.required)


def _valid(command: str, parameters: list[Parameter], folder: Path) -> dict[str, tuple[str, ...]]:
    """Parameter → its words in a valid line of a command."""
    given = [_placed(word, folder) for word in VALID.get(command, "").split()]
    by_option = {one.option: one for one in parameters if one.option}
    arguments = iter([one for one in parameters if not one.option])
    found: dict[str, tuple[str, ...]] = {}
    while given:
        word = given.pop(0)
        if not word.startswith("--"):
            found[next(arguments).name] = (word,)
        elif word in by_option and by_option[word].kind is not bool:
            found[by_option[word].name] = (word, given.pop(0))
        else:
            found[word] = (word,)
    return found


def _placed(word: str, folder: Path) -> str:
    return str(folder / word) if word[0].isupper() else word


def _words(given: dict[str, tuple[str, ...]]) -> list[str]:
    """All words, an argument behind ``--`` last."""
    ordered = sorted(given.values(), key=lambda words: words[0] == "--")
    arguments = [words for words in ordered if words[0] == "--" or not words[0].startswith("--")]
    options = [word for words in ordered if words not in arguments for word in words]
    plain = [word for words in arguments for word in words if word != "--"]
    return [*options, *(["--"] if any(words[0] == "--" for words in arguments) else []), *plain]


def _values(command: str, one: Parameter, folder: Path) -> Iterator[tuple[str, bool]]:
    """Hostile values of a parameter, and whether a command must refuse them."""
    bad: tuple[str, ...] = BAD_TEXTS
    odd: tuple[str, ...] = ()
    if one.kind is Path:
        bad = tuple(_paths(command, one, folder))
    elif one.kind is int:
        bad, odd = BAD_INTEGERS, ODD_INTEGERS
    elif one.kind is float:
        bad, odd = BAD_FLOATS, ODD_FLOATS
    free = one.name in FREE.get(command, ())
    if free:  # each of these does all of the work
        bad = tuple(value for value in bad if value in ("", "\x1b[31mred", NOT_UTF8))
    yield from ((value, not free and (command, one.name, value) not in FINE) for value in bad)
    yield from ((value, False) for value in odd)


def _paths(command: str, one: Parameter, folder: Path) -> Iterator[str]:
    """Paths that can be neither read nor written as the command means them."""
    suffix = SUFFIXES.get(command, "")
    yield str(folder / "empty" / f"below{suffix}")
    yield str(folder / ("x" * 300 + suffix))
    yield str(folder / "nowhere" / (NOT_UTF8 + suffix))
    if one.name not in OUTPUTS:
        yield ""
        yield str(folder)
        yield str(folder / "missing\x1b[2J")
        yield from (str(folder / name) for name in BROKEN)
    elif (command, one.name) not in FOLDERS:
        yield ""
        yield str(folder)
        yield str(folder / "nowhere" / f"new{suffix}")
        yield str(folder / "new.wrong") if suffix and one.name == "out" else ""
