"""Planted tickets: random networks in which a known small network is hidden, as ground truth for a search.

A target of fully connected ReLU layers is written into a random *mother* network, neuron by neuron: each target neuron
replaces the random neuron that is closest to it in angle. A ReLU neuron may be scaled, λ·relu(x) = relu(λx) for λ > 0,
if the next layer is divided by λ; λ is chosen so that the planted weights have the norm of the random ones that they
replace. So the planted ticket computes the target up to one positive factor, and the size of its weights does not give
it away. On data that the target labels, removing weights alone can reach accuracy 1.

A search is scored by the accuracy of what it finds (1 is possible, at the planted density), and by recall and precision
of the planted weights. A search may find another ticket that is as good: low recall at accuracy 1 is not a failure, low
accuracy is one.

Planted subset sums, for the searches that solve them, are in :mod:`slth.baselines.planted_sums`.

Source: plantnseek2022
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from slth.baselines.frozen import frozen_form
from slth.baselines.masks import Masks, density_of, keep_top, maskable
from slth.baselines.randomness import mixed
from slth.baselines.recipe import Recipe
from slth.baselines.training import logits_of, train
from slth.data import Split
from slth.errors import InputError, check_int
from slth.networks.models import mlp

# How the target is trained. It must be worth finding, not be the best (83 to 94 % on digits with 8 hidden neurons).
TARGET_RECIPE = Recipe(epochs=30, batch=64, optimiser="adam", learning_rate=1e-2, schedule="cosine")


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantedTicket:
    """A planted problem: find in ``network`` a subnetwork that classifies ``test`` as the target does.

    Attributes:
        network: the mother network with the ticket in it; fully connected, frozen, no biases, no BatchNorm.
        truth: the planted weights.
        target: the network that was planted.
        train: training images with the target's predictions as labels, so that the planted ticket has accuracy 1.
        test: test images, labelled in the same way.
    """

    network: nn.Module
    truth: Masks
    target: nn.Module
    train: Split
    test: Split

    @property
    def density(self) -> float:
        """Density of the planted ticket."""
        return density_of(self.truth)


def problem(
    train_data: Split,
    test_data: Split,
    *,
    hidden: Sequence[int] = (8,),
    widths: Sequence[int] = (64,),
    density: float = 1.0,
    seed: int = 0,
    recipe: Recipe = TARGET_RECIPE,
) -> PlantedTicket:
    """Train a small target on the data, plant it in a random network, and let it label the data.

    Args:
        train_data: images and labels that the target is trained on.
        test_data: images and labels to test on.
        hidden: number of neurons of each hidden layer of the target.
        widths: number of neurons of each hidden layer of the mother; at least as many as in ``hidden``.
        density: fraction of the target's weights to keep, in (0, 1]: the smallest are pruned before a second training.
        seed: seed of target and mother.
        recipe: how the target is trained; its seed is replaced.

    Raises:
        InputError: widths below the target's, or a target that predicts one class alone.

    Source: plantnseek2022
    """
    check_int("seed", seed, 0)
    inputs, classes = train_data.images[0].numel(), int(train_data.labels.max()) + 1
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        target = mlp(sizes=(inputs, *hidden, classes), bias=False)
        mother = mlp(sizes=(inputs, *widths, classes), bias=False)
    mine = replace(recipe, seed=seed)
    train(target, train_data, recipe=mine)
    masks = keep_top({name: weight.detach().abs() for name, weight in maskable(target).items()}, density)
    if density < 1:
        train(target, train_data, recipe=mine, masks=masks)
    network, truth = plant(target, frozen_form(mother, seed=mixed(seed, 6), init="kaiming_normal", normalise=False))
    relabelled = [Split(data.images, logits_of(target, data.images).argmax(dim=1)) for data in (train_data, test_data)]
    if len(relabelled[0].labels.unique()) < 2:
        raise InputError("the target must tell classes apart; it predicts one alone. Train it longer.")
    return PlantedTicket(network=network, truth=truth, target=target, train=relabelled[0], test=relabelled[1])


def plant(target: nn.Module, mother: nn.Module) -> tuple[nn.Module, Masks]:
    r"""Copy ``mother`` with ``target`` hidden in it.

    For target neuron i with weights w_i from the planted neurons S of the layer before, and mother neurons j still
    free with weights v_j on S:

    .. math:: j = \arg\max_j \cos(w_i, v_j), \qquad v_j \leftarrow \lambda w_i, \quad \lambda = \|v_j\| / \|w_i\|,

    both taken over the entries where w_i is not zero; only those are planted. Neurons are placed in the order of
    their norms, largest first. Outputs stay where they are, with one λ for all of them.

    Args:
        target: a chain of linear layers and ReLU without biases.
        mother: a chain of the same depth, inputs and outputs, with at least as many hidden neurons.

    Returns:
        The planted network, and masks of the planted weights: masking leaves the target times one positive factor.

    Raises:
        InputError: layers that do not fit.

    Source: plantnseek2022
    """
    small, large = _layers(target, "target"), _layers(mother, "mother")
    if len(small) != len(large):
        raise InputError(f"target and mother must have as many layers; got {len(small)} and {len(large)}.")
    fits = all(a.shape[0] <= b.shape[0] and a.shape[1] <= b.shape[1] for a, b in zip(small, large, strict=True))
    ends = small[0].shape[1] == large[0].shape[1] and small[-1].shape[0] == large[-1].shape[0]
    if not (fits and ends):
        raise InputError(
            "the mother must have the target's inputs and outputs and at least its hidden neurons; got "
            f"{[tuple(w.shape) for w in small]} to plant in {[tuple(w.shape) for w in large]}. Widen the mother."
        )
    planted = copy.deepcopy(mother)
    truth: Masks = {}
    places, scales = torch.arange(small[0].shape[1]), torch.ones(small[0].shape[1], dtype=torch.float64)
    for depth, (name, weight) in enumerate(maskable(planted).items()):
        wanted = small[depth] / scales
        room = large[depth][:, places]
        if depth + 1 < len(small):
            rows, scales = _matched(wanted, room)
        else:
            rows = torch.arange(len(wanted))
            factor = (room * (wanted != 0)).norm() / wanted.norm()
            scales = factor.expand(len(wanted))
        mask = torch.zeros(weight.shape, dtype=torch.bool)
        mask[rows[:, None], places] = wanted != 0
        with torch.no_grad():
            block = torch.where(wanted != 0, wanted * scales[:, None], room[rows])
            weight[rows[:, None], places] = block.to(weight.dtype)
        truth[name] = mask
        places = rows
    return planted, truth


def score(masks: Mapping[str, torch.Tensor], truth: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Measure how much of the planted ticket a search has found.

    Args:
        masks: what the search keeps.
        truth: the planted weights.

    Returns:
        ``recall``: planted weights that are kept, over planted ones; ``precision``: the same over kept ones (0 if
        nothing is kept); ``chance``: the precision of a random mask, which is the planted density; ``density``:
        of ``masks``, which is also the recall of a random mask.

    Raises:
        InputError: masks of other layers or shapes.
    """
    if {name: mask.shape for name, mask in masks.items()} != {name: mask.shape for name, mask in truth.items()}:
        raise InputError(
            "masks must have the names and shapes of the planted ones; they differ. Search in PlantedTicket.network."
        )
    common = sum(int((masks[name] & truth[name]).sum()) for name in truth)
    planted, kept = (sum(int(mask.sum()) for mask in many.values()) for many in (truth, masks))
    return {
        "recall": common / max(1, planted),
        "precision": common / max(1, kept),
        "chance": density_of(truth),
        "density": density_of(masks),
    }


def _layers(network: nn.Module, name: str) -> list[torch.Tensor]:
    """Weights of a chain of linear layers, in float64."""
    fine = (nn.Linear, nn.ReLU, nn.Flatten)
    modules = list(network.children())
    if not isinstance(network, nn.Sequential) or not all(isinstance(module, fine) for module in modules):
        raise InputError(f"the {name} must be an nn.Sequential of Linear, ReLU and Flatten. Use models.mlp().")
    linear = [module for module in modules if isinstance(module, nn.Linear)]
    if any(module.bias is not None for module in linear):
        raise InputError(f"the {name} must have no biases: masks are about weights. Build it with bias=False.")
    return [weight.detach().double().cpu() for weight in maskable(network).values()]


def _matched(wanted: torch.Tensor, room: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose a different mother neuron (row of ``room``) and a factor for each target neuron (row of ``wanted``)."""
    rows = torch.zeros(len(wanted), dtype=torch.int64)
    scales = torch.ones(len(wanted), dtype=torch.float64)
    free = torch.ones(len(room), dtype=torch.bool)
    for i in torch.argsort(wanted.norm(dim=1), descending=True, stable=True).tolist():
        there = room * (wanted[i] != 0)
        norms = there.norm(dim=1)
        cosines = (there @ wanted[i]) / norms.clamp(min=1e-300)
        j = int(torch.where(free, cosines, -torch.inf).argmax())
        free[j] = False
        rows[i] = j
        # A dead neuron of the target (no weights) is planted as it is.
        length = float(wanted[i].norm())
        scales[i] = norms[j] / length if length > 0 and norms[j] > 0 else 1.0
    return rows, scales
