"""Arguments of the command line as values: targets, widths, ranges, shapes, radii, pairs of name and value."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slth.errors import InputError
from slth.networks import models
from slth.user_code import call

Example = torch.Tensor | tuple[torch.Tensor, ...] | None


def load_target(*, arch: str | None, weights: Path | None, model: str | None) -> tuple[nn.Module, Example]:
    """Load a built-in architecture with its weights, or call a function in a user's file.

    Args:
        arch: a name in :data:`slth.networks.models.ARCHITECTURES`; it needs ``weights``.
        weights: a safetensors file.
        model: ``path.py:function``. The function takes nothing and returns a module, or (module, example input).

    Returns:
        The model, and an example input if one is known.

    Raises:
        InputError: ``arch`` and ``model`` are both given or both missing; or there is no such function, or it returns
            something else.
    """
    if (arch is None) == (model is None):
        given = "both" if arch is not None else "neither"
        raise InputError(
            f"a target must come as --arch with --weights, or as --model path.py:function; got {given}. "
            f"Architectures: {', '.join(models.ARCHITECTURES)}."
        )
    if arch is not None:
        if weights is None:
            raise InputError(f"--arch {arch} must come with --weights FILE.safetensors; got none.")
        return models.load_weights(arch, weights), models.example_input(arch)
    assert model is not None
    if weights is not None:
        raise InputError("--weights goes with --arch; with --model, load the weights in your function.")
    return _from_file(model)


def check_text(option: str, text: str) -> str:
    """Refuse text that no file can hold.

    Args:
        option: name of the option, for the message.
        text: what was given.

    Returns:
        The text.

    Raises:
        InputError: the text is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise InputError(f"{option} must be text in UTF-8; got {text[:200]!r}. Write it in UTF-8.") from cause
    return text


def parse_width(text: str) -> int | dict[str, int]:
    """A width, or widths by layer: ``"20000"`` → 20000; ``"conv=60000,linear=20000"`` → a dict.

    Raises:
        InputError: the text is neither.
    """
    try:
        if "=" not in text:
            return int(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): int(value) for name, value in pairs}
    except ValueError as cause:
        raise InputError(
            f"--width must be a number, or pairs like conv=60000,linear=20000,fc3=5000; got {text!r}."
        ) from cause


def parse_range(text: str | None) -> tuple[float, float] | None:
    """A range of inputs: ``"0,1"`` → (0.0, 1.0); None stays None.

    Raises:
        InputError: the text is not two numbers.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as cause:
        raise InputError(f"--input-range must be lo,hi such as 0,1 or -1,1; got {text!r}.") from cause
    return low, high


def parse_hash(text: str | None) -> str:
    """A SHA-256, or at least its first 16 digits; the empty string for None, which every hash begins with.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return ""
    if not re.fullmatch(r"[0-9a-f]{16,64}", text.lower()):
        raise InputError(f"--expect must be 16 to 64 hexadecimal digits of a SHA-256; got {text!r}.")
    return text.lower()


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape of an input: ``"1,28,28"`` → (1, 28, 28).

    Raises:
        InputError: the text is not a list of positive integers.
    """
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise InputError(f"--shape must be positive numbers such as 1,28,28; got {text!r}.")
    return shape


def parse_radii(text: str) -> list[float]:
    """Radii: ``"0,1/255"`` → ``[0.0, 0.00392…]``.

    Raises:
        InputError: the text is not a list of numbers or fractions ≥ 0.
    """
    try:
        radii = [float(Fraction(part.strip())) for part in text.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError) as cause:
        raise InputError(f"--radius must be numbers or fractions such as 0,1/255,2/255; got {text!r}.") from cause
    if min(radii) < 0:
        raise InputError(f"--radius must be at least 0; got {text!r}.")
    return radii


def parse_pairs(option: str, given: list[str] | None) -> dict[str, Any]:
    """Pairs of name and value: ``["a=1", "b=x"]`` → {"a": 1, "b": "x"}.

    Args:
        option: name of the option, for messages.
        given: the pairs, or None. A value is read as JSON, or as text if it is not JSON.

    Returns:
        Name → value.

    Raises:
        InputError: a text without ``=``, or without a name before it.
    """
    found: dict[str, Any] = {}
    for text in given or []:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise InputError(f"{option} must be name=value; got {text!r}.")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _from_file(spec: str) -> tuple[nn.Module, Example]:
    made = call(spec, "--model")
    network, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    examples = example if isinstance(example, tuple) else () if example is None else (example,)
    if not isinstance(network, nn.Module) or not all(isinstance(one, torch.Tensor) for one in examples):
        raise InputError(
            f"{spec} must return a torch module, or (module, example input); got {type(made).__name__}. "
            "The example is a tensor with its batch axis, or a tuple of them for a model of several inputs."
        )
    return network.eval(), example
