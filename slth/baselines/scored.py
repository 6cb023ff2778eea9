r"""A frozen network seen through scores: f(x; w ⊙ m(s)), where the scores s are trained and the weights w are not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.func import functional_call

from slth.baselines.masks import Masks, maskable


class Scored(nn.Module):
    """Base of edge-popup, stochastic gates and Gem-Miner: they differ in what scores are, and what they multiply.

    Attributes:
        network: in frozen form; its weights never change. scores: one tensor a weight, the trained parameters;
            dots of the weight's name are slashes there, for torch's sake.
    """

    def __init__(self, network: nn.Module, scores: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.network = network
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        self.scores = nn.ParameterDict({_key(name): nn.Parameter(value) for name, value in scores.items()})

    def score(self, name: str) -> torch.Tensor:
        """Scores of the weight ``name``, of a shape that broadcasts to it."""
        return self.scores[_key(name)]

    def multipliers(self) -> dict[str, torch.Tensor]:
        """What each weight is multiplied by in this pass, differentiable in the scores."""
        raise NotImplementedError

    def masks(self) -> Masks:
        """What is kept, if training stopped now."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = maskable(self.network)
        effective = {name: weights[name] * factor for name, factor in self.multipliers().items()}
        return functional_call(self.network, effective, (x,))


def _key(name: str) -> str:
    return name.replace(".", "/")
