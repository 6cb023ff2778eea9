"""The signs that slth claims are those of the values, for every operation that it keeps and for random programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cnns import Own
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from slth.networks import extract
from slth.networks.operations import REGISTRY

METHODS = [method for operation in REGISTRY.operations.values() for method in operation.methods]
SPANS = {"+": (0.0, 100.0), "-": (-100.0, 0.0), "+-": (-100.0, 100.0)}


# Input → output.
Transform = Callable[[torch.Tensor], torch.Tensor]


def values(signs: str, *shape: int) -> torch.Tensor:
    """Numbers of every size from 1e-4 to 100, a tenth of them zero, with the given signs."""
    x = torch.randn(shape).sign() * 10 ** (torch.rand(shape) * 6 - 4)
    x = torch.where(torch.rand(shape) < 0.1, 0.0, x)
    return x if signs == "+-" else x.abs() if signs == "+" else -x.abs()


def claimed(operation: Transform, signs: str, **options: Any) -> str:
    """The signs that slth claims for the operation's output."""
    if isinstance(operation, nn.Module):
        model: nn.Module = nn.Sequential(operation, nn.Linear(1, 1))
    else:
        model = Own(lambda m, x: m.fc(operation(x)), fc=nn.Linear(1, 1))
    return extract(model, input_range=SPANS[signs], **options).maps[-1].signs


def observed(out: torch.Tensor) -> str:
    return ("+" if (out > 0).any() else "") + ("-" if (out < 0).any() else "")


def check(operation: Transform, signs: str, shape: tuple[int, ...], **options: Any) -> str:
    claim = claimed(operation, signs, **options)
    with torch.no_grad():
        for _ in range(3):
            out = operation(values(signs, *shape))
            assert set(observed(out)) <= set(claim), f"{operation} takes {signs} to {observed(out)}, not to {claim}"
    return claim


def by_rule(rule: str, signs: str) -> str:
    """The claim that a sign rule makes for one input, or for the same input twice."""
    turned = {"+": "-", "-": "+", "+-": "+-"}[signs]
    product = "+" if len(signs) == 1 else "+-"
    return {"keep": signs, "plus": "+", "flip": turned, "product": product, "any": "+-"}[rule]


FLAT, LINE, IMAGE, VOLUME = (2, 4), (2, 4, 8), (2, 4, 8, 8), (2, 4, 4, 4, 4)
SHAPES = {"1d": LINE, "2d": IMAGE, "3d": VOLUME}
# Constructor arguments, by class or by the beginning of its name.
ARGUMENTS: dict[type[nn.Module], tuple[Any, ...]] = {
    nn.Threshold: (0.1, -3.0), nn.PReLU: (4,), nn.Softmax: (1,), nn.LogSoftmax: (1,), nn.LayerNorm: (8,),
    nn.GroupNorm: (2, 4), nn.LocalResponseNorm: (2,), nn.Unflatten: (1, (2, 2)), nn.PixelShuffle: (2,),
    nn.PixelUnshuffle: (2,), nn.ChannelShuffle: (2,), nn.UpsamplingNearest2d: (None, 2), nn.Upsample: (None, 2),
    nn.Linear: (8, 3), nn.AlphaDropout: (0.5,),
}  # fmt: skip
ARGUMENTS_BY_PREFIX: dict[str, tuple[Any, ...]] = {
    "InstanceNorm": (4,), "BatchNorm": (4,), "MaxPool": (2,), "AvgPool": (2,), "AdaptiveAvgPool": (2,),
    "AdaptiveMaxPool": (2,), "ZeroPad": (1,), "ReflectionPad": (1,), "ReplicationPad": (1,), "CircularPad": (1,),
    "ConstantPad": (1, -2.0), "Dropout": (0.5,), "Conv": (4, 3, 2),
}  # fmt: skip


def make(kind: type[nn.Module]) -> tuple[nn.Module, tuple[int, ...]]:
    name = kind.__name__
    shape = SHAPES.get(name[-2:], IMAGE)
    arguments = ARGUMENTS.get(kind, ARGUMENTS_BY_PREFIX.get(name[:-2] if name[-2:] in SHAPES else name, ()))
    return kind(*arguments).eval(), shape


@pytest.mark.parametrize("signs", SPANS)
@pytest.mark.parametrize("kind", REGISTRY.modules, ids=lambda kind: kind.__name__)
def test_modules_do_to_signs_what_the_table_says(kind: type[nn.Module], signs: str) -> None:
    module, shape = make(kind)
    left_out = (
        {"skip": ["0"]} if REGISTRY.modules[kind].tensors and kind.__name__.startswith(("Conv", "Lin", "Bat")) else {}
    )
    assert check(module, signs, shape, **left_out) == by_rule(REGISTRY.get("module", kind.__name__).signs, signs)


# Arguments after the input, for functions and methods that need more than the input.
MORE_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "getitem": ((slice(None), 1),), "pow": (3,), "floordiv": (2.0,), "mod": (1.5,), "flatten": (1,), "t": (),
    "unflatten": (1, (2, 2)), "reshape": ((4, -1),), "view": (4, -1), "permute": ((0, 2, 3, 1),), "transpose": (1, 2),
    "squeeze": (), "unsqueeze": (0,), "chunk": (2, 1), "split": (2, 1), "flip": ((1,),), "roll": (1, 1),
    "movedim": (1, 2), "swapaxes": (1, 2), "pixel_shuffle": (2,), "pixel_unshuffle": (2,), "channel_shuffle": (2,),
    "select": (1, 2), "narrow": (1, 0, 2), "tile": ((2, 1),), "dropout": (0.5, False), "softmax": (1,),
    "clamp": (-1.0, 2.0), "clip": (-1.0, 2.0), "log_softmax": (1,), "threshold": (0.1, -3.0), "pad": ((1, 1),),
    "interpolate": (None, 2), "local_response_norm": (2,), "max_pool1d": (2,), "max_pool2d": (2,), "max_pool3d": (2,),
    "avg_pool1d": (2,), "avg_pool2d": (2,), "avg_pool3d": (2,), "adaptive_avg_pool1d": (2,), "repeat": (2, 1, 1, 1),
    "adaptive_avg_pool2d": (2,), "adaptive_avg_pool3d": (2,), "adaptive_max_pool1d": (2,), "adaptive_max_pool2d": (2,),
    "adaptive_max_pool3d": (2,), "dropout1d": (0.5, False), "dropout2d": (0.5, False), "dropout3d": (0.5, False),
    "alpha_dropout": (0.5, False), "feature_alpha_dropout": (0.5, False), "expand": (3, 2, 4, 8, 8),
}  # fmt: skip
# Functions and methods of two tensors, of a list of tensors, with several outputs, and with a size as output.
TWO_INPUTS = {
    "add", "sub", "subtract", "mul", "multiply", "truediv", "div", "divide", "true_divide", "maximum", "minimum",
    "expand_as", "view_as",
}  # fmt: skip
LISTS = {"cat", "concat", "concatenate", "stack"}
SEVERAL_OUTPUTS = {"chunk", "split", "unbind"}
SIZES = {"size", "dim", "numel"}


def calling(name: str, call: Callable[..., torch.Tensor]) -> Transform:
    """The function or method of that name, as a function of one tensor."""
    last = name.rsplit(".", 1)[-1]
    if last in LISTS:
        return lambda x: call([x, x])
    if last in TWO_INPUTS:
        return lambda x: call(x, x)
    if last in SEVERAL_OUTPUTS:
        return lambda x: call(x, *MORE_ARGUMENTS.get(last, ()))[0]
    if last in SIZES:
        return lambda x: x * 0 + (call(x, 1) if last == "size" else call(x))
    return lambda x: call(x, *MORE_ARGUMENTS.get(last, ()))


def shape_of(name: str) -> tuple[int, ...]:
    return FLAT if name == "t" else SHAPES.get(name[-2:], IMAGE)


@pytest.mark.parametrize("signs", SPANS)
@pytest.mark.parametrize("name", [name for name in REGISTRY.functions if name != "builtins.getattr"])
def test_functions_do_to_signs_what_the_table_says(name: str, signs: str) -> None:
    claim = check(calling(name, REGISTRY.functions[name]), signs, shape_of(name))
    assert claim == by_rule(REGISTRY.get("function", name).signs, signs)


@pytest.mark.parametrize("signs", SPANS)
@pytest.mark.parametrize("name", METHODS)
def test_methods_do_to_signs_what_the_table_says(name: str, signs: str) -> None:
    call = calling(name, lambda x, *more: getattr(x, name)(*more))
    claim = check(call, signs, shape_of(name))
    if name not in SIZES:
        assert claim == by_rule(REGISTRY.get("method", name).signs, signs)


def test_sizes_are_never_negative() -> None:
    for read in (lambda x: x.shape[1], lambda x: x.size(1), lambda x: x.dim(), lambda x: x.numel(), lambda x: x.ndim):
        for signs in SPANS:
            for operation in (lambda x, read=read: x * read(x), lambda x, read=read: x + read(x)):
                check(operation, signs, FLAT)


# Functions and modules by their parameter, which may be negative.
PARAMETERS = st.one_of(st.floats(-3, 3).filter(lambda a: abs(a) > 0.01), st.sampled_from([-1, 1, 2]))
PARAMETRIC: dict[str, Callable[[float], Transform]] = {
    "ELU": nn.ELU, "CELU": nn.CELU, "Softplus": nn.Softplus, "LeakyReLU": nn.LeakyReLU, "Hardshrink": nn.Hardshrink,
    "Softshrink": lambda a: nn.Softshrink(abs(a)), "Threshold": lambda a: nn.Threshold(-a, a),
    "Hardtanh": lambda a: nn.Hardtanh(a - 1, a), "alpha": lambda a: nn.LocalResponseNorm(2, alpha=a, beta=1.0),
    "k": lambda a: nn.LocalResponseNorm(2, k=a, beta=1.0), "beta": lambda a: nn.LocalResponseNorm(2, beta=a),
    "divisor": lambda a: nn.AvgPool2d(2, divisor_override=round(10 * a) or 1),
    "pad": lambda a: nn.ConstantPad2d(1, a),
    "elu": lambda a: lambda x: functional.elu(x, a), "elu-named": lambda a: lambda x: functional.elu(x, alpha=a),
    "celu": lambda a: lambda x: functional.celu(x, a), "softplus": lambda a: lambda x: functional.softplus(x, beta=a),
    "add": lambda a: lambda x: torch.add(x, x, alpha=a), "method": lambda a: lambda x: x.add(2 * x, alpha=a),
    "plus": lambda a: lambda x: x + a, "times": lambda a: lambda x: x * a, "by": lambda a: lambda x: x / a,
    "reversed": lambda a: lambda x: a * x + a, "minus": lambda a: lambda x: a - x,
    "power": lambda a: lambda x: x**2 * a,
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETRIC)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(parameter=PARAMETERS, signs=st.sampled_from(list(SPANS)))
def test_no_parameter_makes_a_claim_untrue(name: str, parameter: float, signs: str) -> None:
    check(PARAMETRIC[name](parameter), signs, IMAGE)


UNARY: tuple[Transform, ...] = (
    torch.relu, torch.tanh, torch.neg, torch.abs, torch.sigmoid, functional.gelu, lambda x: x - 1, lambda x: -x + 0.5,
    lambda x: 2 * x, lambda x: x * -0.5, lambda x: x + 1.5, lambda x: x + (-1.5), lambda x: x / -2.0, lambda x: x**2,
    lambda x: x * x.size(1), lambda x: x + x.dim(), lambda x: x.mean(1, keepdim=True).expand(-1, 4),
    lambda x: x * torch.tensor([1.0, 0.0, 2.0, 0.5]), lambda x: x + torch.tensor([-1.0, -2.0, 0.0, -3.0]),
    lambda x: x.clamp(min=-0.2), lambda x: functional.softmax(x, dim=-1), lambda x: x[:, [1, 0, 3, 2]],
)  # fmt: skip
BINARY: tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ...] = (
    torch.add, torch.mul, torch.sub, torch.maximum, torch.minimum, lambda x, y: torch.add(x, y, alpha=-2),
    lambda x, y: torch.cat([x, y], 1)[:, 2:6], lambda x, y: torch.stack([x, y]).sum(0), lambda x, y: x / (y + 200.5),
)  # fmt: skip


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    program=st.lists(st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 9), st.integers(0, 9)),
                     min_size=1, max_size=8),
    signs=st.sampled_from(list(SPANS)),
)  # fmt: skip
def test_claims_about_programs_are_true(program: list[tuple[int, int, int]], signs: str) -> None:
    """Each step of a program reads one or two earlier values; the claim about the last value must hold."""

    def run(x: torch.Tensor) -> torch.Tensor:
        found = [x]
        for code, first, second in program:
            a, b = found[first % len(found)], found[second % len(found)]
            found.append(UNARY[code](a) if code < len(UNARY) else BINARY[code - len(UNARY)](a, b))
        return found[-1]

    check(run, signs, FLAT)
