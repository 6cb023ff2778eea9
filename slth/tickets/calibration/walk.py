"""Target and ticket side by side on the calibration inputs, step by step, while the ticket's layers are being found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from slth.errors import InputError, SlthError, check_memory
from slth.networks.graph import GraphNetwork, Step, substitute
from slth.networks.linear_map import LinearMap
from slth.networks.target import Target
from slth.tickets.calibration.inputs import HELD_OUT_EVERY, CalibrationInputs
from slth.tickets.calibration.moments import MOST_ROWS, Moments, feature_count

Values = dict[str, Any]


class Walk:
    """The values of both networks, for every batch of the inputs. A value is dropped after its last use.

    Args:
        target: the network to approximate.
        inputs: the calibration inputs.
        max_memory: bytes that may be used; None for 80 % of free memory.

    Raises:
        InputError: the inputs do not fit the network.
        MemoryEstimateError: the values or the moments would not fit memory.
    """

    def __init__(self, target: Target, inputs: CalibrationInputs, max_memory: float | None = None) -> None:
        self._target, self._network, self._inputs = target, target.to_module(), inputs
        self._maps = {linear.name: linear for linear in target.maps}
        self._last_use = {name: at for at, step in enumerate(target.steps) for name in step.references()}
        uses = Counter(step.call for step in target.steps if step.call in self._maps)
        self._repeated = {name for name, count in uses.items() if count > 1}
        self._most_rows = -(-MOST_ROWS // -(-len(inputs) // inputs.batch))
        self._check_memory(max_memory)

    @torch.no_grad()
    def run(self, find: Callable[[LinearMap, Moments, Moments], nn.Module]) -> None:
        """Go through the steps. At the first use of each linear map its layer of the ticket is found.

        Where a map is used again later, what the *target* reads at the later uses counts as well.

        Args:
            find: (linear map, moments to fit, moments held out) → the ticket's layer.
        """
        later = self._later_moments()
        wanted = [self._network.bind(batch) for batch in self._inputs.batches()]
        got = [dict(values) for values in wanted]
        layers: dict[str, nn.Module] = {}
        for at, step in enumerate(self._target.steps):
            if step.kind in ("input", "output"):
                continue
            outputs = [self._network.compute(step, values) for values in wanted]
            linear = self._maps.get(step.call) if step.kind == "module" else None
            if linear is not None and linear.name not in layers:
                fitted, held_out = later.get(linear.name) or (Moments(linear), Moments(linear))
                for i, (values, y) in enumerate(zip(got, outputs, strict=True)):
                    self._chosen(i, fitted, held_out).add(_input_of(step, values), y, self._most_rows, i)
                layers[linear.name] = find(linear, fitted, held_out)
            stand_in = None if linear is None else layers[linear.name]
            for values, mine, y in zip(wanted, got, outputs, strict=True):
                values[step.name], mine[step.name] = y, self._network.compute(step, mine, stand_in)
                self._drop(at, values, mine)

    def _later_moments(self) -> dict[str, tuple[Moments, Moments]]:
        """Name of a map that is used several times → the target's moments over its later uses."""
        found = {name: (Moments(self._maps[name]), Moments(self._maps[name])) for name in sorted(self._repeated)}
        if found:
            for i, batch in enumerate(self._inputs.batches()):
                values, seen = self._network.bind(batch), set[str]()
                for at, step in enumerate(self._target.steps[:-1]):
                    if step.kind == "input":
                        continue
                    values[step.name] = self._network.compute(step, values)
                    if step.call in seen and step.kind == "module":
                        moments = self._chosen(i, *found[step.call])
                        moments.add(_input_of(step, values), values[step.name], self._most_rows, i)
                    if step.call in found:
                        seen.add(step.call)
                    self._drop(at, values)
        return found

    @staticmethod
    def _chosen(batch: int, fitted: Moments, held_out: Moments) -> Moments:
        """The moments to which a batch belongs."""
        return held_out if batch % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else fitted

    def _drop(self, at: int, *networks: Values) -> None:
        """Forget the values that no later step needs."""
        for values in networks:
            for name in [name for name in values if self._last_use.get(name, -1) <= at]:
                del values[name]

    def _check_memory(self, max_memory: float | None) -> None:
        """Run the target on the first batch, and refuse if the values of all batches would not fit."""
        values = self._bind_first(self._network)
        peak = 0
        try:
            with torch.no_grad():
                for at, step in enumerate(self._target.steps[:-1]):
                    if step.kind != "input":
                        values[step.name] = self._network.compute(step, values)
                    peak = max(peak, sum(one.nbytes for one in values.values() if isinstance(one, torch.Tensor)))
                    self._drop(at, values)
        except (RuntimeError, ValueError, IndexError) as cause:
            if isinstance(cause, SlthError):
                raise
            raise InputError(
                f"calibrate does not fit the network: {str(cause).splitlines()[0]} Pass inputs of its input shape."
            ) from cause
        largest = max(self._target.maps, key=lambda one: one.groups * feature_count(one) ** 2)
        moments = 8 * 6 * largest.groups * feature_count(largest) ** 2
        check_memory(
            f"calibration on {len(self._inputs):,} inputs (layer {largest.name} reads {feature_count(largest):,} "
            f"features)",
            2.0 * peak * len(self._inputs) / self._inputs.batch + moments,
            max_memory,
            "Use fewer inputs, or leave large layers out with skip.",
        )

    def _bind_first(self, network: GraphNetwork) -> Values:
        return network.bind(tuple(one[: self._inputs.batch] for one in self._inputs.tensors))


def _input_of(step: Step, values: Values) -> torch.Tensor:
    """What the linear map of a step reads."""
    given: tuple[torch.Tensor, ...] = substitute((*step.args, *step.options.values()), values)
    return given[0]
