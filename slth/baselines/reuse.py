"""Networks that are trained once: the weights are kept on disk, for this recipe and this version of the code."""

from __future__ import annotations

import hashlib
import json

import safetensors.torch
import torch
from torch import nn

from slth.baselines.recipe import Recipe
from slth.baselines.training import train
from slth.cache import made_once, writable_cache_folder
from slth.data import Split
from slth.environment import processor


def train_once(model: nn.Module, data: Split, *, recipe: Recipe) -> float:
    """Train a network in place on the CPU, or give it the weights of an earlier training that was the same.

    The same means: the same layers and first weights, images, labels and recipe, versions of torch and of slth's code,
    processor and number of threads. The weights are then those that a new training would give.

    Args:
        model: the network; it is left in evaluation mode.
        data: the training data.
        recipe: epochs, optimiser and schedule.

    Returns:
        Seconds that the training took, when it was done.
    """

    def trained() -> bytes:
        seconds = train(model, data, recipe=recipe).seconds
        return safetensors.torch.save({**_tensors(model), _SECONDS: torch.tensor(seconds, dtype=torch.float64)})

    folder = writable_cache_folder("trained", "slth.baselines", "slth.networks", "slth.data")
    tensors = safetensors.torch.load(made_once(folder, f"{_digest(model, data, recipe)}.safetensors", trained))
    seconds = float(tensors.pop(_SECONDS))
    model.load_state_dict(tensors)
    model.eval()
    return seconds


# No parameter has a name with a blank in it.
_SECONDS = "seconds of training"


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous().clone() for name, tensor in model.state_dict().items()}


def _digest(model: nn.Module, data: Split, recipe: Recipe) -> str:
    digest = hashlib.sha256()
    told = [str(model), recipe.as_dict(), torch.__version__, torch.get_num_threads(), processor()]
    digest.update(json.dumps(told, sort_keys=True).encode())
    for name, tensor in [*_tensors(model).items(), ("images", data.images), ("labels", data.labels)]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]
