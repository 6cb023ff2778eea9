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
from slth.networks.graph import Ref, Step
from slth.networks.kept_module import KeptModule
from slth.networks.operations import REGISTRY, functions
from slth.networks.signs import propagate_signs

METHODS = [method for operation in REGISTRY.operations.values() for method in operation.methods]
SPANS = {"+": (0.0, 100.0), "-": (-100.0, 0.0), "+-": (-100.0, 100.0)}


# Input → output.
Transform = Callable[[torch.Tensor], torch.Tensor]


def values(signs: str, *shape: int) -> torch.Tensor:
    """Numbers of every size from 1e-4 to 100, a tenth of them zero, with the given signs."""
    x = torch.randn(shape).sign() * 10 ** (torch.rand(shape) * 6 - 4)
    x = torch.where(torch.rand(shape) < 0.1, 0.0, x)
    return x if signs == "+-" else x.abs() if signs == "+" else -x.abs()


def claimed(operation: Transform, signs: str, shape: tuple[int, ...]) -> str:
    """The signs that slth claims for the operation's output, when it is extracted as a part of a model."""
    model = Own(lambda m, x: m.fc(operation(x).unsqueeze(-1)), fc=nn.Linear(1, 1))
    if isinstance(operation, nn.Module):
        model.operation = operation
    return extract(model, example_input=values(signs, *shape), input_range=SPANS[signs]).maps[-1].signs


def claimed_by_table(step: Step, signs: str, modules: dict[str, KeptModule] | None = None) -> str:
    """The signs that the table claims for one step that reads the input ``x``, as in a file."""
    return propagate_signs((Step(name="x", kind="input"), step), {"x": signs}, modules or {}, {})[step.name]


def observed(out: torch.Tensor) -> str:
    return ("+" if (out > 0).any() else "") + ("-" if (out < 0).any() else "")


def check(operation: Transform, signs: str, shape: tuple[int, ...], claim: str | None = None) -> str:
    claim = claimed(operation, signs, shape) if claim is None else claim
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
    "ConvTranspose": (4, 3, 2),
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
    options = {name: getattr(module, name) for name in REGISTRY.modules[kind].options}
    kept = KeptModule(name="m", type=kind.__name__, options=options)
    claim = claimed_by_table(Step(name="y", kind="module", call="m", args=(Ref("x"),)), signs, {"m": kept})
    assert set(claim) == set(by_rule(REGISTRY.get("module", kind.__name__).sign_rule(options), signs))
    check(module, signs, shape, claim)


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
    "to": (torch.float64,), "clamp_min": (0.5,),
}  # fmt: skip
# Functions and methods of two tensors, of a list of tensors, with several outputs, and with a size as output.
TWO_INPUTS = {
    "add", "sub", "subtract", "mul", "multiply", "truediv", "div", "divide", "true_divide", "maximum", "minimum",
    "expand_as", "view_as", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "matmul",
    "bitwise_and", "bitwise_or", "einsum", "mm", "bmm", "mv", "dot", "outer",
}  # fmt: skip
LISTS = {"cat", "concat", "concatenate", "stack"}
SEVERAL_OUTPUTS = {"chunk", "split", "unbind"}
SIZES = {"size", "dim", "numel"}
# Functions that make a tensor of a size, or whose further inputs are integers.
OWN_CALLS: dict[str, Transform] = {
    "slth.one_hot": lambda x: functions.one_hot(x.abs().long() % 3, 3),
    "torch.gather": lambda x: torch.gather(x, 1, torch.zeros(2, 1, 8, 8, dtype=torch.int64)),
    "torch.index_select": lambda x: torch.index_select(x, 1, torch.tensor([1, 0])),
    "torch.masked_select": lambda x: torch.masked_select(x, x > 1),
    "torch.select_scatter": lambda x: torch.select_scatter(x, x[:, 0], 1, 2),
    "torch.slice_scatter": lambda x: torch.slice_scatter(x, x[:, :2], 1, 0, 2),
    "torch.index_put": lambda x: torch.index_put(x, (torch.tensor([0, 1]),), x),
    "functional.fold": lambda x: functional.fold(x.reshape(2, 16, 16), 5, 2),
    "torch.einsum": lambda x: torch.einsum("nchw,nchw->nc", x, x),
    "torch.mm": lambda x: torch.mm(x[0, 0], x[0, 1]),
    "torch.bmm": lambda x: torch.bmm(x[0], x[1]),
    "torch.mv": lambda x: torch.mv(x[0, 0], x[0, 1, 0]),
    "torch.dot": lambda x: torch.dot(x[0, 0, 0], x[0, 0, 1]),
    "torch.outer": lambda x: torch.outer(x[0, 0, 0], x[0, 0, 1]),
    "linalg.vector_norm": lambda x: torch.linalg.vector_norm(x, dim=1),
    "torch.argmax": lambda x: torch.argmax(x, 1),
    "torch.argmin": lambda x: torch.argmin(x, 1),
    "torch.cumsum": lambda x: torch.cumsum(x, 1),
    "functional.unfold": lambda x: functional.unfold(x, 2),
}
INTEGERS = ("bitwise_and", "bitwise_or", "bitwise_not")


def calling(name: str, call: Callable[..., torch.Tensor]) -> Transform:
    """The function or method of that name, as a function of one tensor."""
    last = name.rsplit(".", 1)[-1]
    if name in OWN_CALLS:
        return OWN_CALLS[name]
    if last in INTEGERS:
        return lambda x: call(*(x > 1,) * (1 if last == "bitwise_not" else 2))
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


def step_of(kind: str, name: str) -> Step:
    """The step that calls a function or method on ``x``, with the arguments of the tables above."""
    last = name.rsplit(".", 1)[-1]
    args: tuple[Any, ...] = (Ref("x"), *MORE_ARGUMENTS.get(last, ()))
    if last in LISTS:
        args = ([Ref("x"), Ref("x")],)
    elif last in TWO_INPUTS:
        args = (Ref("x"), Ref("x"))
    return Step(name="y", kind=kind, call=name, args=args)


def claims(kind: str, name: str) -> bool:
    """Whether the table claims anything of an operation."""
    return REGISTRY.get(kind, name).signs != "any"


@pytest.mark.parametrize("signs", SPANS)
@pytest.mark.parametrize("name", [name for name in REGISTRY.functions if claims("function", name)])
def test_functions_do_to_signs_what_the_table_says(name: str, signs: str) -> None:
    step, operation = step_of("function", name), REGISTRY.get("function", name)
    claim = claimed_by_table(step, signs)
    assert set(claim) == set(by_rule(operation.sign_rule(step.options), signs))
    check(calling(name, REGISTRY.functions[name]), signs, shape_of(name), claim)


@pytest.mark.parametrize("signs", SPANS)
@pytest.mark.parametrize("name", [name for name in METHODS if claims("method", name)])
def test_methods_do_to_signs_what_the_table_says(name: str, signs: str) -> None:
    claim = claimed_by_table(step_of("method", name), signs)
    call = calling(f"torch.{name}", lambda x, *more: getattr(x, name)(*more))
    if name not in SIZES:
        assert set(claim) == set(by_rule(REGISTRY.get("method", name).sign_rule({}), signs))
        check(call, signs, shape_of(name), claim)


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
@settings(max_examples=6, deadline=None, derandomize=True)
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


@settings(max_examples=40, deadline=None, derandomize=True)
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
