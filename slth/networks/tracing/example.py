"""Example inputs: what the user gave, or an input derived from the first layer; the model must run on it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.folding import as_float32
from slth.networks.signs import Range
from slth.networks.tracing.undisturbed import undisturbed

# Sides that are tried for the input of a convolution, in this order.
_SIDES = (32, 28, 224, 8, 16, 64, 24, 48, 96, 128, 256, 299, 384, 512, 12, 10, 9, 20, 6, 5, 4, 3, 2, 1, 1024, 16_000)
_SEED = 20_231
FLOAT32_MAX = torch.finfo(torch.float32).max


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelExample:
    """A model with inputs on which it runs.

    Attributes:
        model: the model, in float32 on the CPU; a copy if the user's is not.
        given: the inputs, float32 or integer.
        inputs: the inputs on which the model is recorded: ``given``, twice if it holds a single example.
        input_range: (lo, hi) of the inputs, or a pair for each input by name; None for any values.
    """

    model: nn.Module
    given: tuple[torch.Tensor, ...]
    inputs: tuple[torch.Tensor, ...]
    input_range: Range | Mapping[str, Range] | None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each input, without its batch axis."""
        return tuple(tuple(one.shape[1:]) for one in self.given)


def make_example(
    model: nn.Module,
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None,
    input_range: Range | Mapping[str, Range] | None,
) -> ModelExample:
    """Check the example input, or derive one, and run the model on it.

    Args:
        model: the model; it stays as it is.
        example_input: one input with its batch axis, or a tuple of them; None to derive one.
        input_range: (lo, hi) of the model's inputs, or a pair for each input by name; None for any values.

    Returns:
        The model and its inputs.

    Raises:
        InputError: the example is no real tensor, lies outside ``input_range``, or the model does not run on it or
            overwrites it; or no example was given and none could be derived.
    """
    model = _as_float32(model)
    if example_input is None:
        given = _derive(model, input_range)
    else:
        given = _check(example_input, input_range, _names(model))
        _run_on(model, given)
    return ModelExample(model=model, given=given, inputs=_with_batch(model, given), input_range=input_range)


def run(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
    """What a model returns on copies of some inputs, in evaluation mode; the model stays as it is.

    Args:
        model: the model.
        inputs: the inputs.
    """
    with undisturbed(model), torch.no_grad():
        return model(*(one.clone() for one in inputs))


def _as_float32(model: nn.Module) -> nn.Module:
    """The model in float32 on the CPU, copied if it is not."""
    for name, one in (*model.named_parameters(), *model.named_buffers()):
        if one.is_complex():
            raise InputError(f"{name} must be real; got {one.dtype}. slth does not support complex networks.")
        if one.is_meta:
            raise InputError(f"{name} has no values: it is on the meta device. Load the target's weights first.")
    for name, one in model.named_parameters():
        if one.is_floating_point() and (one.numel() == 0 or not bool((one.abs() <= FLOAT32_MAX).all())):
            as_float32(name, one)  # says what is wrong: no entries, not finite, or beyond float32
    if all(
        one.device.type == "cpu" and (one.dtype == torch.float32 or not one.is_floating_point())
        for one in (*model.parameters(), *model.buffers())
    ):
        return model
    try:
        return copy.deepcopy(model).cpu().float()
    except RuntimeError as cause:
        raise InputError(
            f"the model cannot be copied to float32 on the CPU: {str(cause).splitlines()[0]} Convert it yourself: "
            "model.cpu().float()."
        ) from cause


def _check(example: Any, input_range: Range | Mapping[str, Range] | None, names: list[str]) -> tuple[torch.Tensor, ...]:
    """The example as a tuple of tensors on the CPU, if it can be one."""
    examples = example if isinstance(example, tuple) else (example,)
    checked = []
    for i, value in enumerate(examples):
        if not isinstance(value, torch.Tensor):
            raise InputError(f"example_input must be a torch tensor with a batch axis; got {type(value).__name__}.")
        plain = value.layout is torch.strided and not value.is_meta and not value.is_complex()
        if value.numel() == 0 or value.ndim == 0 or not plain:
            raise InputError(
                f"example_input must hold at least one real example; got {value.dtype} of shape {tuple(value.shape)} "
                f"on {value.device}. Pass one input with its batch axis, on the CPU."
            )
        name = names[i] if i < len(names) else ""
        span = input_range.get(name) if isinstance(input_range, Mapping) else input_range
        if span is not None:
            low, high = float(value.min()), float(value.max())
            if not (span[0] <= low and high <= span[1]):
                raise InputError(
                    f"example_input must lie in input_range = {tuple(span)}; its values span "
                    f"[{low:.4g}, {high:.4g}]. "
                    "Widen input_range: a wrong one gives a wrong ticket."
                )
        value = value.detach().cpu()
        checked.append(value.float() if value.is_floating_point() else value)
    return tuple(checked)


def _names(model: nn.Module) -> list[str]:
    return list(inspect.signature(model.forward).parameters)


def _run_on(model: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    """Run the model on the example; refuse an example that does not fit, and a model that overwrites it."""
    inputs = tuple(one.clone() for one in given)
    try:
        with undisturbed(model), torch.no_grad():
            model(*inputs)
    except Exception as cause:  # The model's own code runs here and may raise anything.
        raise InputError(
            f"example_input of shape {', '.join(str(tuple(one.shape)) for one in given)} does not fit the model: "
            f"{_first_line(cause)} Pass one input with its batch axis{_first_weight(model)}."
        ) from cause
    if any(not torch.equal(old, new) for old, new in zip(given, inputs, strict=True) if not old.isnan().any()):
        raise InputError("the model overwrites its input, which a ticket never does. Copy it first (x = x.clone()).")


def _first_line(cause: Exception) -> str:
    line = next((one.strip() for one in str(cause).splitlines() if one.strip()), type(cause).__name__)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _first_weight(model: nn.Module) -> str:
    """The shape of the first layer's weight, for messages."""
    weight = next((one for one in model.parameters() if one.ndim >= 2), None)
    return "" if weight is None else f" (the first layer's weight is {tuple(weight.shape)})"


def _with_batch(model: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """The inputs, twice if there is one example: a size of one cannot be told from a fixed one."""
    if any(one.shape[0] != 1 for one in given) or not given:
        return given
    doubled = tuple(torch.cat([one, one]) for one in given)
    try:
        run(model, doubled)
    except Exception:  # The model takes one example at a time, and the target says so.
        return given
    return doubled


def _derive(model: nn.Module, input_range: Range | Mapping[str, Range] | None) -> tuple[torch.Tensor, ...]:
    """An input for the first layer on which the whole model runs."""
    first_failure: Exception | None = None
    for shape, integer in _candidates(model):
        generator = torch.Generator().manual_seed(_SEED)
        if integer:
            value = torch.zeros(shape, dtype=torch.int64)
        else:
            value = draw(shape, input_range if not isinstance(input_range, Mapping) else None, generator)
        try:
            run(model, (value,))
        except Exception as cause:
            first_failure = first_failure or cause
        else:
            return (value,)
    if first_failure is None:
        raise InputError(
            "the target has no conv or linear layer, so no input can be derived: there is nothing to approximate. "
            "Check the model."
        )
    raise InputError(
        f"example_input is needed: no input that fits the first layer runs through the model "
        f"({_first_line(first_failure)[:200]}). Pass one input with its batch axis, or a tuple of them."
    ) from first_failure


def draw(shape: tuple[int, ...], span: Any, generator: torch.Generator) -> torch.Tensor:
    """Random numbers of a shape: uniform in a range, normal without one.

    Args:
        shape: the shape.
        span: (lo, hi), finite or not; None for normal numbers.
        generator: the source of randomness.
    """
    try:
        low, high = (max(-1e3, min(1e3, float(end))) for end in span)
    except (TypeError, ValueError):
        return torch.randn(shape, generator=generator)
    return low + (high - low) * torch.rand(shape, generator=generator)


def _candidates(model: nn.Module) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Shapes of inputs that fit the first layer, and whether they hold integers."""
    flattens = False
    for module in model.modules():
        flattens = flattens or isinstance(module, nn.Flatten)
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Embedding):
            yield from (((2, length), True) for length in (16, 4, 64))
            return
        if isinstance(module, nn.modules.conv._ConvNd):
            axes = len(module.kernel_size)
            yield from (((2, module.in_channels, *[side] * axes), False) for side in _SIDES if side**axes <= 2**20)
            return
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            axes = {"1": 0, "2": 2, "3": 3}.get(type(module).__name__[-2:-1], 0)
            sides = _SIDES if axes else (1,)
            yield from (((2, module.num_features, *[side] * axes), False) for side in sides if side**axes <= 2**20)
            return
        if isinstance(module, nn.Linear):
            width = module.in_features
            vectors = [(2, width), (2, 4, width)]
            # A network that flattens images: square ones, of one or three channels.
            square = [(channels, round((width / channels) ** 0.5)) for channels in (1, 3)]
            images = [(2, channels, side, side) for channels, side in square if channels * side * side == width]
            shapes = [*images, *vectors] if flattens else [*vectors, *images]
            yield from ((shape, False) for shape in (*shapes, (2, 4, 4, width)))
            return
        if isinstance(weight, torch.Tensor) and weight.ndim == 2:
            yield (2, weight.shape[1]), False
            yield (2, weight.shape[0]), False
            return
