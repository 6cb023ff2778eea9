"""A pair's way through a network: which step of the graph is which transformer, and which steps have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from slth.errors import InputError
from slth.networks.graph import Ref, Step, fill
from slth.networks.operations import FUNCTIONS
from slth.networks.target import Target
from slth.tickets.certify.differences import Pair, linear, relu, same_input, smooth
from slth.tickets.certify.enclosed import EnclosedMap, enclose_kept
from slth.tickets.certify.forms import UNIT, Box, Unknowns
from slth.tickets.certify.operators import add, hard, leaky, lift, negative, pairs_in, scaled
from slth.tickets.certify.pooling import adaptive_spans, max_pool, strided_spans, window_table

# Steps by the last part of their name, in lower case: nn.Flatten, torch.flatten and x.flatten are one operation.
# Selections and rearrangements of entries (and zeros): exact on every part of a form.
_EXACT = frozenset({
    "flatten", "unflatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous",
    "cat", "concat", "concatenate", "stack", "chunk", "split", "unbind", "getitem", "select", "narrow", "flip",
    "roll", "movedim", "swapaxes", "tile", "repeat", "expand", "expand_as", "view_as", "clone", "detach", "float",
    "t", "pos", "conj", "identity", "dropout", "dropout1d", "dropout2d", "dropout3d", "alphadropout",
    "alpha_dropout", "featurealphadropout", "feature_alpha_dropout", "pixelshuffle", "pixel_shuffle",
    "pixelunshuffle", "pixel_unshuffle", "channelshuffle", "channel_shuffle", "upsamplingnearest2d", "zeropad1d",
    "zeropad2d", "zeropad3d", "reflectionpad1d", "reflectionpad2d", "reflectionpad3d", "replicationpad1d",
    "replicationpad2d", "replicationpad3d", "circularpad1d", "circularpad2d", "circularpad3d"
})  # fmt: skip
# Sums with weights ≥ 0: linear, monotone, rounded.
_SUMS = frozenset({
    "avgpool1d", "avgpool2d", "avgpool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptiveavgpool1d",
    "adaptiveavgpool2d", "adaptiveavgpool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "mean", "sum"
})  # fmt: skip
_BENT = frozenset({"relu", "leakyrelu", "leaky_relu", "relu6", "hardtanh"})
_SHAPES = frozenset(["size", "dim", "numel", "getattr"])
_ADDITION = {"add": 1, "sub": -1, "subtract": -1}
_SCALING = frozenset(["mul", "multiply", "div", "divide", "true_divide", "truediv"])
# Smooth monotone activations: slopes in [m, M]. Their float64 values are taken to be within 2⁻⁴⁸ (1 + |φ|): torch's
# vectorised elementary functions state one unit in the last place, 2⁻⁵², and each of these makes a few roundings.
_SMOOTH: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 0.25), "tanh": (0.0, 1.0), "logsigmoid": (0.0, 1.0),
    "softsign": (0.0, 1.0), "selu": (0.0, 1.7581),
}  # fmt: skip
_SMOOTH_ERROR = 2.0**-48
SUPPORTED = (
    "conv and linear layers (kept ones too), ReLU, LeakyReLU, ReLU6, Hardtanh, Sigmoid, Tanh, LogSigmoid, "
    "Softsign, SELU, max-, average and adaptive pooling, mean, sum, add, sub, neg, cat, scaling by a number, padding, "
    "flatten, reshape and other rearrangements, dropout and identity"
)


class Propagation:
    """A target and its folded ticket, ready to take pairs from the input to the output.

    Raises:
        InputError: steps that have no sound transformer (all of them named), several inputs or outputs.
    """

    def __init__(self, target: Target, folded: Mapping[str, EnclosedMap]) -> None:
        self.target = target
        self.modules = {module.name: module for module in target.modules}
        self.folded = dict(folded)
        self.built: dict[str, nn.Module] = {}
        for module in target.modules:
            if module.type in ("Linear", "Conv1d", "Conv2d", "Conv3d"):
                self.folded[module.name] = enclose_kept(module)
            else:
                self.built[module.name] = module.build().double().eval()
        self.steps = _pool_first(target.steps, self.operation)
        self._check()

    def operation(self, step: Step) -> str:
        """The operation of a step, whichever way it is written; "" for a linear map."""
        if step.kind == "module":
            return "" if step.call in self.folded else self.modules[step.call].type.lower()
        return step.call.rsplit(".", 1)[-1]

    def is_linear(self, step: Step) -> bool:
        """Whether a step applies a linear map: one of the ticket's, or one that was left out of the search."""
        return step.kind == "module" and not self.operation(step)

    def gives_unknowns(self, step: Step) -> bool:
        """Whether a step's relaxation adds unknowns of its own."""
        return step.kind not in ("input", "constant", "output") and _bends(self.operation(step))

    def run(self, box: Box, unknowns: Unknowns, watch: Callable[[Step, Pair], None] | None = None) -> Pair:
        """The pair at the output for inputs (B, …) in a box; ``watch`` is shown the pair after every step.

        Raises:
            InputError: the box does not fit the network, or a step has no sound transformer.
        """
        try:
            with torch.no_grad():
                return self._run(same_input(box, unknowns), unknowns, watch)
        except InputError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as cause:
            raise InputError(
                f"inputs of shape {tuple(box.lo.shape[1:])} do not fit the network: {str(cause).splitlines()[0]} "
                "Pass the shape of one input, without its batch axis."
            ) from cause

    def _run(self, pair: Pair, unknowns: Unknowns, watch: Callable[[Step, Pair], None] | None) -> Pair:
        last = {name: i for i, step in enumerate(self.steps) for name in step.references()}
        values: dict[str, Any] = {}
        for i, step in enumerate(self.steps):
            if step.kind == "input":
                values[step.name] = pair
                continue
            args, options = fill(step.args, values), fill(dict(step.options), values)
            if step.kind == "output":
                return cast(Pair, args[0])
            values[step.name] = self._step(step, args, options, unknowns)
            if watch is not None and isinstance(values[step.name], Pair):
                watch(step, values[step.name])
            for name in step.references():
                if last[name] == i:
                    values.pop(name, None)
        raise AssertionError("a network ends with an output")

    def _check(self) -> None:
        inputs = [step for step in self.steps if step.kind == "input"]
        if len(inputs) != 1 or not isinstance(self.steps[-1].args[0], Ref):
            raise InputError("a certificate needs a network of one input and one output tensor. Wrap the network.")
        wrong = [step for step in self.steps if step.kind in ("module", "function", "method") and not self._known(step)]
        if wrong:
            named = ", ".join(f"{step.name} ({step.call} {self.operation(step)})" for step in wrong)
            raise InputError(f"no sound transformer for {named}. Supported: {SUPPORTED}.")

    def _known(self, step: Step) -> bool:
        """Whether a step has a transformer; settings that change what it computes are not overlooked."""
        name = self.operation(step)
        plain = step.kind == "module" or "dtype" not in step.options
        if name in _ADDITION or name in _SCALING:
            return len(step.args) + len(step.options) == 2 and set(step.options) <= {"input", "other"}
        if "max" in name:  # those that return indices too are none of ours
            kept = step.kind == "module" or (len(step.args) <= 6 and not step.options.get("return_indices"))
            return "pool" in name and kept and step.call != "torch.adaptive_max_pool1d"
        return plain and (
            name in _EXACT | _SUMS | _SHAPES | _BENT | {"", "neg", "negative", "pad"}
            or name in _SMOOTH
            or name.startswith("constantpad")
        )

    def _step(self, step: Step, args: tuple[Any, ...], options: dict[str, Any], unknowns: Unknowns) -> Any:
        name = self.operation(step)
        if step.kind == "constant":
            return torch.from_numpy(self.target.constants[step.call]).double()
        if not name:
            return linear(self.folded[step.call], args[0])
        call = self._call(step)
        pairs = pairs_in((args, options))
        if not pairs:
            return call(*args, **options)
        if name in _SHAPES:
            return call(pairs[0].target.center, *args[1:], **options)
        if name == "getitem" and isinstance(args[0], tuple | list):
            return args[0][args[1]]
        if name == "float" or "dropout" in name:
            return pairs[0]  # real numbers have no precision, and evaluation drops nothing
        if name in _EXACT or "pad" in name:
            return lift(call, args, options, exact=True, pads="pad" in name)
        if name in _SUMS:
            return lift(call, args, options, exact=False)
        if name == "relu":
            return relu(pairs[0], unknowns)
        if name in ("leakyrelu", "leaky_relu"):
            slope = self._given(step, args, options, negative_slope=0.01)
            return leaky(pairs[0], float(slope["negative_slope"]), unknowns)
        if name in ("relu6", "hardtanh"):
            ends = self._given(step, args, options, min_val=0.0 if name == "relu6" else -1.0, max_val=1.0)
            return hard(pairs[0], ends["min_val"], 6.0 if name == "relu6" else ends["max_val"], unknowns)
        if name in _SMOOTH:
            return smooth(
                pairs[0], lambda x: call(x.clone(), *args[1:], **options), _SMOOTH[name], unknowns, _SMOOTH_ERROR
            )
        if "max" in name:
            return self._max_pool(step, call, args, options, unknowns)
        if name in _ADDITION:
            left, right = args[0], args[1] if len(args) > 1 else options["other"]
            return add(left, right, _ADDITION[name])
        if name in ("neg", "negative"):
            return negative(pairs[0])
        return self._scaled(step, args, options)

    def _call(self, step: Step) -> Callable[..., Any]:
        if step.kind == "module":
            return self.built[step.call]
        if step.kind == "function":
            return FUNCTIONS[step.call].call
        return lambda x, *args, **options: getattr(x, step.call)(*args, **options)

    def _given(self, step: Step, args: tuple[Any, ...], options: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
        """An operation's settings, from the module or the call, in the order that its function takes them."""
        if step.kind == "module":
            return {name: getattr(self.built[step.call], name, value) for name, value in defaults.items()}
        return (
            defaults | dict(zip(defaults, args[1:], strict=False)) | {k: v for k, v in options.items() if k in defaults}
        )

    def _max_pool(
        self, step: Step, call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], unknowns: Unknowns
    ) -> Pair:
        pair: Pair = pairs_in((args, options))[0]
        center = pair.target.center
        axes = int(self.operation(step)[-2])
        sides = tuple(center.shape[-axes:])
        outputs = tuple(
            call(
                *(center if one is pair else one for one in args),
                **{key: center if one is pair else one for key, one in options.items()},
            ).shape[-axes:]
        )
        if "adaptive" in self.operation(step):
            spans = adaptive_spans(sides, outputs)
        else:
            given = self._given(step, args, options, kernel_size=1, stride=None, padding=0, dilation=1)
            given["stride"] = given["stride"] or given["kernel_size"]
            each = {key: (value,) * axes if isinstance(value, int) else tuple(value) for key, value in given.items()}
            spans = strided_spans(
                sides, outputs, each["kernel_size"], each["stride"], each["padding"], each["dilation"]
            )
        return max_pool(pair, window_table(sides, outputs, spans), outputs, unknowns)

    def _scaled(self, step: Step, args: tuple[Any, ...], options: Mapping[str, Any]) -> Pair:
        left, right = args[0], args[1] if len(args) > 1 else options["other"]
        divides = "div" in self.operation(step)
        if isinstance(left, Pair) == isinstance(right, Pair) or (divides and isinstance(right, Pair)):
            raise InputError(
                f"no sound transformer for {step.name} ({step.call}): activations are scaled by numbers, not by each "
                f"other. Supported: {SUPPORTED}."
            )
        pair, factor = (left, right) if isinstance(left, Pair) else (right, left)
        return scaled(pair, 1 / torch.as_tensor(factor).double(), 2 * UNIT) if divides else scaled(pair, factor)


def _bends(name: str) -> bool:
    return name in _SMOOTH or name in _BENT or "max" in name


def _pool_first(steps: tuple[Step, ...], operation: Callable[[Step], str]) -> tuple[Step, ...]:
    """The steps with max-pooling before a ReLU that it alone reads: the same function, with fewer open signs."""
    readers: dict[str, int] = {}
    for step in steps:
        for name in step.references():
            readers[name] = readers.get(name, 0) + 1
    changed = list(steps)
    for i, step in enumerate(steps[:-1]):
        follows = steps[i + 1]
        pools = follows.kind != "output" and "max" in operation(follows) and follows.args[:1] == (Ref(step.name),)
        plain = step.kind != "input" and step.kind != "constant" and operation(step) == "relu" and len(step.args) >= 1
        if pools and plain and readers[step.name] == 1:
            # The names stay with the places, so that later references still find the last of the two.
            changed[i] = replace(follows, name=step.name, args=(step.args[0], *follows.args[1:]))
            changed[i + 1] = replace(step, name=follows.name, args=(Ref(step.name), *step.args[1:]))
    return tuple(changed)
