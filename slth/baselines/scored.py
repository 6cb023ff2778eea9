"""A frozen network seen through scores: f(x; w ⊙ m(s)), where the scores s are trained and the weights w are not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.func import functional_call

from slth.baselines.masks import Masks, maskable


class Scored(nn.Module):
    """Base of edge-popup, stochastic gates and Gem-Miner, which differ in what scores are and what they multiply.

    Args:
        network: in frozen form; its weights never change.
        scores: name of a weight → initial scores. They become the trained parameters ``scores``, where slashes replace
            the dots of the names, because torch allows no dots there.
    """

    def __init__(self, network: nn.Module, scores: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.network = network
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        self.scores = nn.ParameterDict({_key(name): nn.Parameter(value) for name, value in scores.items()})

    def score(self, name: str) -> torch.Tensor:
        """Scores of the weight ``name``, in a shape that broadcasts to the weight."""
        score: torch.Tensor = self.scores[_key(name)]
        return score

    def multipliers(self) -> dict[str, torch.Tensor]:
        """What each weight is multiplied by in this pass, differentiable in the scores."""
        raise NotImplementedError

    def masks(self) -> Masks:
        """Which weights are kept if training stops now."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (B, C) of the network with its weights multiplied."""
        weights = maskable(self.network)
        effective = {name: weights[name] * factor for name, factor in self.multipliers().items()}
        outputs: torch.Tensor = functional_call(self.network, effective, (x,))
        return outputs


def _key(name: str) -> str:
    return name.replace(".", "/")
