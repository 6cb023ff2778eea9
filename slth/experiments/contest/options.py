"""The options of a method, read from the function that takes them: names, defaults, and what the docstring says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slth.baselines.recipe import Recipe
from slth.errors import InputError, check_keys

# Arguments that a job fills in: they are no options.
FILLED = frozenset({
    "job", "model", "data", "density", "recipe", "fine_tuning", "seed", "objective", "validation", "checkpoint",
    "device", "progress", "example_input",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a method.

    Attributes:
        name: as in ``--option name=value``.
        default: its value where it is not given.
        meaning: what the docstring says of it, in one line.
    """

    name: str
    default: Any
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be set of a method.

    Attributes:
        options: its own options.
        recipe: its default recipe, which a job may change; None for a method that does not train.
    """

    options: tuple[Option, ...] = ()
    recipe: Recipe | None = None

    def check(self, options: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
        """Refuse options that the method does not have, and changes to a recipe that it does not have.

        Args:
            options: the options given, by name.
            recipe: the changes to the recipe, by name.

        Raises:
            InputError: a name is not known.
        """
        if options and not self.options:
            raise InputError(f"this method has no options; got {', '.join(options)}. Change its recipe instead.")
        check_keys("options", options, [one.name for one in self.options])
        if recipe and self.recipe is None:
            raise InputError(
                f"a method that does not train has no recipe to change; got {', '.join(recipe)}. Change that of its "
                "fine-tuning (tune, or --tune)."
            )


def read_options(function: Callable[..., Any], **changed: Any) -> tuple[Option, ...]:
    """Read the options of a method from the function that takes them.

    Args:
        function: its arguments are the options, but for those that a job fills in.
        **changed: defaults that differ from the function's.

    Returns:
        The options in the order of the arguments.
    """
    meanings = argument_meanings(function)
    return tuple(
        Option(name=name, default=changed.get(name, one.default), meaning=meanings[name])
        for name, one in inspect.signature(function).parameters.items()
        if name not in FILLED
    )


def argument_meanings(function: Callable[..., Any]) -> dict[str, str]:
    """Argument → its entry in the docstring's ``Args`` section, in one line and without markup."""
    return _entries(function, "Args")


def attribute_meanings(held: type) -> dict[str, str]:
    """Field → its entry in the docstring's ``Attributes`` section, likewise."""
    return _entries(held, "Attributes")


def _entries(documented: Any, heading: str) -> dict[str, str]:
    _, _, after = inspect.cleandoc(documented.__doc__ or "").partition(f"\n{heading}:\n")
    section = re.split(r"\n\S", after)[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE)
    return {name: _plain(" ".join(text.split())) for name, text in entries}


def _plain(text: str) -> str:
    """Without references to other pages: they do not help at a terminal."""
    text = re.sub(r"[;.]? ?see :\w+:`[^`]*`", "", text, flags=re.IGNORECASE)
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "")
