"""The one training loop: dense networks, scores, gates, masked networks, from any step to any step.

Learning rate and order of the data are functions of the recipe and the step. So a run may start at a step (rewinding),
stop at one, or continue from a checkpoint, and a fixed seed gives the same network on one machine. What a method adds
is an :class:`~slth.baselines.objective.Objective`: a loss, and what it does after a step or an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from slth.baselines import checkpoint as checkpoints
from slth.baselines.masks import held, masks_hash
from slth.baselines.objective import Moment, Objective
from slth.baselines.randomness import augmented, mixed, order_of
from slth.baselines.recipe import Recipe
from slth.data import Split
from slth.errors import InputError, TrainingError, check_int
from slth.progress import Progress, listening

# The name under which listeners hear of a run.
TRAINING_TASK = "training"
# The loss is checked every so many steps: on a GPU each check waits for the device.
LOSS_CHECK_STEPS = 20
_AFTER_DIVERGENCE = "Lower the learning rate; the last checkpoint, if one was asked for, is as it was."


@dataclass(kw_only=True)
class History:
    """What was measured during a run.

    Attributes:
        epochs: for each finished epoch ``epoch``, ``loss``, ``rate``, ``seconds`` and, with validation data,
            ``validation`` (accuracy).
        seconds: wall time of the whole run, earlier parts of a resumed run included.
        steps: number of steps taken.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0


def train(
    model: nn.Module,
    data: Split,
    *,
    recipe: Recipe,
    objective: Objective | None = None,
    masks: Mapping[str, torch.Tensor] | None = None,
    first_step: int = 0,
    last_step: int | None = None,
    steps: int | None = None,
    validation: Split | None = None,
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | Progress = False,
) -> History:
    """Train ``model`` in place, and leave it in evaluation mode on ``device``.

    Args:
        model: the network to train; only parameters that require gradients change.
        data: the training data; all of it is put on ``device``.
        recipe: epochs, optimiser and schedule; recipe.seed controls the data order and all noise.
        objective: what the method adds; None for plain cross-entropy.
        masks: weights to hold at zero; see :func:`slth.baselines.masks.held`.
        first_step: the first step that is taken.
        last_step: the step before which training stops; None for the end of the run.
        steps: number of steps of the whole run, which the learning rate is a function of; None for the recipe's epochs
            of ``data``. (A part of the data, trained on as if it were all of it, is passed over more often than
            ``epochs``.)
        validation: accuracy on it is recorded after each epoch; monitored only, never used for selection.
        checkpoint: file that is written after each epoch, whole or not at all; if it exists, the run continues from it.
        device: ``cpu`` or a GPU; on a GPU, convolutions run in bfloat16 with float32 weights.
        progress: who listens: hears every step, the numbers of every epoch, and a line of news for each epoch; True
            for bars.

    Raises:
        InputError: data or masks that do not fit; a checkpoint of another model, recipe, data size or masks, or of a
            later step than the last one asked for.
        TrainingError: the loss or the network is not finite (the last checkpoint stays), or a masked layer is empty.
    """
    objective = objective or Objective()
    per_epoch = recipe.steps(len(data)) // recipe.epochs
    steps = recipe.steps(len(data)) if steps is None else check_int("steps", steps, 1)
    last = steps if last_step is None else last_step
    check_int("last_step", last, 0, steps, hint=f"The run has {steps} steps.")
    check_int("first_step", first_step, 0, last, hint="It is the step to start at.")
    device = torch.device(device)
    model.to(device)
    data = Split(data.images.to(device), data.labels.to(device))
    _check_data(model, data)
    epochs = -(-steps // per_epoch)
    optimiser = recipe.make_optimiser(model.parameters())
    run = {"recipe": recipe.as_dict(), "examples": len(data), "first_step": first_step, "steps": steps,
           "masks": None if masks is None else masks_hash(masks)}  # fmt: skip
    history, step, listener = History(), first_step, listening(progress)
    began = time.perf_counter()
    with ExitStack() as stack:
        if masks is not None:
            stack.enter_context(held(model, masks))
        # The caller's generators are neither read nor moved by noise in training.
        devices = [device] if device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=devices))
        torch.manual_seed(mixed(recipe.seed, 1))
        if checkpoint is not None and checkpoint.is_file():
            step, kept = checkpoints.restore(checkpoint, model, optimiser, run, last)
            history = History(**kept)
            began -= history.seconds
            listener.say(f"goes on from {checkpoint} at step {step} of {last}")
        stack.callback(listener.end, TRAINING_TASK)
        listener.begin(TRAINING_TASK, last - first_step, step - first_step)
        while step < last:
            epoch = step // per_epoch
            stop = min(last, (epoch + 1) * per_epoch)
            started = time.perf_counter()
            total = _take_steps(model, data, optimiser, recipe, objective, range(step, stop), steps, listener)
            _check_finite(model, stop, steps, epoch)
            line: dict[str, float] = {
                "epoch": epoch + 1, "loss": total, "rate": recipe.rate(stop - 1, steps),
                "seconds": time.perf_counter() - started,
            }  # fmt: skip
            step = stop
            with torch.no_grad():
                if step == (epoch + 1) * per_epoch:
                    objective.after_epoch(model, Moment(step=step - 1, steps=steps, epoch=epoch, epochs=epochs))
            if validation is not None:
                line["validation"] = accuracy(model, validation)
            history.epochs.append(line)
            history.steps = step - first_step
            history.seconds = time.perf_counter() - began
            listener.report(TRAINING_TASK, {**line, "step": step})
            if checkpoint is not None:
                checkpoints.save(checkpoint, model, optimiser, run, step, vars(history))
            shown = f", validation {line['validation']:.2%}" if "validation" in line else ""
            listener.say(f"epoch {epoch + 1} of {epochs}: loss {line['loss']:.4f}{shown}, {line['seconds']:.1f} s")
    model.eval()
    history.seconds = time.perf_counter() - began
    return history


def logits_of(model: nn.Module, images: torch.Tensor, batch: int = 500) -> torch.Tensor:
    """Compute the outputs of a network, which is put into evaluation mode.

    Args:
        model: a network with outputs (B, C).
        images: (N, …), on any device.
        batch: number of images in a pass.

    Returns:
        float32 (N, C), on the CPU.
    """
    device = next(iter([*model.parameters(), *model.buffers()])).device
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part.to(device)).float().cpu() for part in images.split(batch)])


def accuracy(model: nn.Module, data: Split) -> float:
    """Fraction of examples whose largest output is that of their label.

    Args:
        model: a network with outputs (B, C).
        data: images and labels.
    """
    return float((logits_of(model, data.images).argmax(dim=1) == data.labels.cpu()).double().mean())


def _take_steps(
    model: nn.Module, data: Split, optimiser: torch.optim.Optimizer, recipe: Recipe, objective: Objective,
    run: range, steps: int, listener: Progress,
) -> float:  # fmt: skip
    """Take the steps of ``run``, which belong to one epoch, and return the mean loss of their examples."""
    per_epoch = -(-len(data) // recipe.batch)
    epoch = run[0] // per_epoch
    order = order_of(recipe, epoch, len(data)).to(data.labels.device)
    total, seen = torch.zeros((), device=data.labels.device), 0
    amp = torch.autocast("cuda", torch.bfloat16) if data.labels.device.type == "cuda" else nullcontext()
    model.train()
    for step in run:
        chosen = order[(step % per_epoch) * recipe.batch :][: recipe.batch]
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step, steps)
        images = data.images[chosen]
        images = augmented(images, mixed(recipe.seed, 2, step)) if recipe.augment else images
        moment = Moment(step=step, steps=steps, epoch=epoch, epochs=-(-steps // per_epoch))
        optimiser.zero_grad(set_to_none=True)
        with amp:
            logits = model(images)
        loss = objective.loss(model, logits.float(), data.labels[chosen], moment)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            objective.after_step(model, moment)
        listener.advance(TRAINING_TASK)
        total += loss.detach() * len(chosen)
        seen += len(chosen)
        if (step + 1 - run[0]) % LOSS_CHECK_STEPS == 0 or step == run[-1]:
            mean = float(total) / seen
            if not np.isfinite(mean):
                raise TrainingError(
                    f"the loss became {mean} at step {step + 1} of {steps} (epoch {epoch + 1}); expected a finite "
                    f"number. {_AFTER_DIVERGENCE}"
                )
    return mean


def _check_finite(model: nn.Module, step: int, steps: int, epoch: int) -> None:
    """Refuse weights that are not finite: the loss is computed before its step, so it may still be finite."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise TrainingError(
                f"{name} is not finite after step {step} of {steps} (epoch {epoch + 1}); expected finite numbers. "
                f"{_AFTER_DIVERGENCE}"
            )


def _check_data(model: nn.Module, data: Split) -> None:
    if len(data) == 0:
        raise InputError("training data must hold examples; got none.")
    model.eval()
    try:
        with torch.no_grad():
            shape = model(data.images[:1]).shape
    except (RuntimeError, ValueError) as cause:
        raise InputError(
            f"images of shape {tuple(data.images.shape[1:])} do not fit the network: {str(cause).splitlines()[0]} "
            "Choose data with the model's input shape."
        ) from cause
    low, high = int(data.labels.min()), int(data.labels.max())
    if len(shape) != 2 or low < 0 or high >= shape[-1]:
        raise InputError(
            f"labels must lie between 0 and {shape[-1] - 1}, one for each output; got {low} to {high} for outputs of "
            f"shape {tuple(shape)}. Choose a model with as many outputs as there are classes."
        )
    if low == high:
        raise InputError(f"training data must have two classes at least; got label {low} alone. Check the labels.")
