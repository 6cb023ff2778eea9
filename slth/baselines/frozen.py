"""The frozen random form of a network, in which edge-popup, gates and Gem-Miner search.

Weights are drawn once and never trained; there are no biases; BatchNorm has no parameters. Where a convolution or
linear layer in a chain is not followed by BatchNorm, one is inserted (not after the last layer): without it the scale
of a subnetwork's outputs falls with its density.

Source: ramanujan2020
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import torch
from torch import nn

from slth.baselines.masks import WEIGHTED_LAYERS, check_density, maskable
from slth.errors import InputError, check_choice, check_int

INITS = ("signed_constant", "kaiming_normal", "kaiming_uniform", "given")
_NORMS = {
    nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d, nn.Linear: nn.BatchNorm1d,
}  # fmt: skip


def frozen_form(
    model: nn.Module, *, seed: int, init: str = "signed_constant", density: float | None = None, normalise: bool = True
) -> nn.Module:
    """Copy a network with frozen random weights, without biases, with BatchNorm that has no parameters.

    Weights are ±σ (``signed_constant``), N(0, σ²) (``kaiming_normal``) or uniform of standard deviation σ
    (``kaiming_uniform``), with σ = √(2/(fan_in·density)). ``given`` keeps the weights of the model, which must
    already be in frozen form.

    Args:
        model: left unchanged.
        seed: seed of the weights.
        init: ``signed_constant``, ``kaiming_normal``, ``kaiming_uniform`` or ``given``.
        density: fraction of weights to be kept, which σ makes up for (``scale_fan`` in the literature); None for 1.
        normalise: whether BatchNorm is inserted where an ``nn.Sequential`` has none.

    Raises:
        InputError: unknown init, density outside (0, 1], nothing to freeze, or ``given`` with parameters other than
            weights.

    Source: ramanujan2020
    """
    check_choice("init", init, INITS)
    check_int("seed", seed, 0)
    share = 1.0 if density is None else check_density(density)
    form = copy.deepcopy(model)
    if init == "given":
        return _frozen_as_given(form)
    last = list(maskable(form))[-1].rpartition(".")[0]
    for module in list(form.modules()):
        _remove_parameters(module)
    if normalise:
        form = _with_norms(form, form.get_submodule(last))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in maskable(form).values():
            sigma = math.sqrt(2 / (weight[0].numel() * share))
            weight.copy_(sigma * _standard_entries(weight.shape, init, generator))
    for parameter in form.parameters():
        parameter.requires_grad_(False)
    return form


def _frozen_as_given(form: nn.Module) -> nn.Module:
    odd = sorted({name for name, _ in form.named_parameters()} - set(maskable(form)))
    if odd:
        raise InputError(
            f"a network in frozen form has no parameters but the weights of its layers; got {', '.join(odd)}. "
            "Build it without biases, or let another init draw its weights."
        )
    return form.requires_grad_(False)


def normalised(model: nn.Module) -> nn.Module:
    """Copy a network with BatchNorm inserted where the frozen form has it; everything else is kept.

    Trained sparse networks are compared with strong tickets in this form, so that all have the same layers. Without it,
    a random ticket of LeNet-5 at density 0.05 stayed at chance for 200 steps; with it, it reached 0.92.
    """
    copied = copy.deepcopy(model)
    return _with_norms(copied, copied.get_submodule(list(maskable(copied))[-1].rpartition(".")[0]))


def _standard_entries(shape: torch.Size, init: str, generator: torch.Generator) -> torch.Tensor:
    """Independent random entries of mean 0 and variance 1."""
    if init == "kaiming_normal":
        return torch.randn(shape, generator=generator)
    uniform = 2 * torch.rand(shape, generator=generator) - 1
    return math.sqrt(3) * uniform if init == "kaiming_uniform" else torch.where(uniform < 0, -1.0, 1.0)


def _remove_parameters(module: nn.Module) -> None:
    if isinstance(module, WEIGHTED_LAYERS):
        module.register_parameter("bias", None)
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        module.affine = False
        module.register_parameter("weight", None)
        module.register_parameter("bias", None)
        module.reset_running_stats()
    elif any(True for _ in module.parameters(recurse=False)):
        raise InputError(
            f"{type(module).__name__} has parameters that the frozen random form does not know; expected "
            "convolutions, linear layers and BatchNorm. Leave it out of the model."
        )


def _with_norms(module: nn.Module, last: nn.Module) -> nn.Module:
    """Insert BatchNorm after every convolution and linear layer of a module's chains, except after the last layer."""
    for name, child in module.named_children():
        if child is not last:
            setattr(module, name, _with_norms(child, last))
    if type(module) is not nn.Sequential:
        return module
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    children = list(module.named_children())
    for i, (name, child) in enumerate(children):
        layers[name] = child
        after = children[i + 1][1] if i + 1 < len(children) else None
        if type(child) in _NORMS and child is not last and not isinstance(after, nn.modules.batchnorm._BatchNorm):
            width = len(maskable(child)["weight"])  # one output each
            layers[f"{name}_norm"] = _NORMS[type(child)](width, affine=False)
    return nn.Sequential(layers)
