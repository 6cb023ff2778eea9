"""The one training loop: dense networks, scores, gates, masked networks, from any step to any step.

Learning rate and order of the data are functions of (recipe, step), so that a run may start at a step (rewinding),
stop at one, or go on from a checkpoint, and a fixed seed gives the same network on one machine. What methods add
comes as an :class:`Objective`: a loss, and what is done after a step or an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slth.baselines import checkpoint as checkpoints
from slth.baselines.masks import held, masks_hash
from slth.baselines.recipe import Recipe
from slth.data import Split
from slth.errors import InputError, TrainingError, check_int
from slth.progress import Progress, listening

# The name of this task to whoever listens.
TASK = "training"
# The loss is looked at every so many steps: on a GPU each look waits for the device.
LOOK = 20
_LOWER = "Lower the learning rate; the last checkpoint, if one was asked for, is as it was."


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a run is: step of steps, epoch of epochs, all counted from 0."""

    step: int
    steps: int
    epoch: int
    epochs: int


def cross_entropy(model: nn.Module, logits: torch.Tensor, labels: torch.Tensor, moment: Moment) -> torch.Tensor:
    """Mean cross-entropy of a batch."""
    return functional.cross_entropy(logits, labels)


def _nothing(model: nn.Module, moment: Moment) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a method adds to training.

    Attributes:
        loss: (model, logits (B, C), labels (B,), moment) → scalar. after_step, after_epoch: (model, moment), called
            without gradients; ``moment.epoch`` is the epoch that has just ended.
    """

    loss: Callable[[nn.Module, torch.Tensor, torch.Tensor, Moment], torch.Tensor] = cross_entropy
    after_step: Callable[[nn.Module, Moment], None] = _nothing
    after_epoch: Callable[[nn.Module, Moment], None] = _nothing


@dataclass(kw_only=True)
class History:
    """What a run saw: for each finished epoch a mapping of ``epoch``, ``loss``, ``rate``, ``seconds`` and, with
    validation data, ``validation`` (accuracy). ``seconds``: all of it. ``steps``: taken in all."""

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
        data: examples; whole on ``device``. recipe: how. objective: None for plain cross-entropy.
        masks: weights to hold at zero; see :func:`slth.baselines.masks.held`.
        first_step, last_step: steps first ≤ step < last of the run are taken; None for its end.
        steps: of the whole run, which the learning rate is a function of; None for the recipe's epochs of ``data``.
            (A part of the data, trained on as if it were all of it, is passed over more often than ``epochs``.)
        validation: its accuracy is recorded after each epoch and decides nothing.
        checkpoint: file written whole after each epoch; if it is there, the run goes on from it.
        device: ``cpu`` or a GPU; there convolutions run in bfloat16 with float32 weights.
        progress: who listens: each step is told, the numbers of each epoch, and a line of news for each.

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
    _check_labels(model, data)
    epochs = -(-steps // per_epoch)
    optimiser = recipe.make_optimiser(model.parameters())
    run = {"recipe": recipe.as_dict(), "examples": len(data), "first_step": first_step, "steps": steps,
           "masks": None if masks is None else masks_hash(masks)}  # fmt: skip
    history, step, listener = History(), first_step, listening(progress)
    began = time.perf_counter()
    with ExitStack() as stack:
        if masks is not None:
            stack.enter_context(held(model, masks))
        # Noise in training is the run's own: it neither reads nor moves the generators of the caller.
        devices = [device] if device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=devices))
        torch.manual_seed(mixed(recipe.seed, 1))
        if checkpoint is not None and checkpoint.is_file():
            step, kept = checkpoints.restore(checkpoint, model, optimiser, run, last)
            history = History(**kept)
            began -= history.seconds
            listener.say(f"goes on from {checkpoint} at step {step} of {last}")
        stack.callback(listener.end, TASK)
        listener.begin(TASK, last - first_step, step - first_step)
        while step < last:
            epoch = step // per_epoch
            stop = min(last, (epoch + 1) * per_epoch)
            started = time.perf_counter()
            total = _steps(model, data, optimiser, recipe, objective, range(step, stop), steps, listener)
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
            listener.report(TASK, {**line, "step": step})
            if checkpoint is not None:
                checkpoints.save(checkpoint, model, optimiser, run, step, vars(history))
            shown = f", validation {line['validation']:.2%}" if "validation" in line else ""
            listener.say(f"epoch {epoch + 1} of {epochs}: loss {line['loss']:.4f}{shown}, {line['seconds']:.1f} s")
    model.eval()
    history.seconds = time.perf_counter() - began
    return history


def logits_of(model: nn.Module, images: torch.Tensor, batch: int = 500) -> torch.Tensor:
    """Outputs (N, C) in evaluation mode, on the CPU."""
    device = next(iter([*model.parameters(), *model.buffers()])).device
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part.to(device)).float().cpu() for part in images.split(batch)])


def accuracy(model: nn.Module, data: Split) -> float:
    """Fraction of examples whose largest output is their label's."""
    return float((logits_of(model, data.images).argmax(dim=1) == data.labels.cpu()).double().mean())


def order_of(recipe: Recipe, epoch: int, examples: int) -> torch.Tensor:
    """The order in which an epoch visits the examples, int64 (examples,)."""
    generator = torch.Generator().manual_seed(mixed(recipe.seed, 0, epoch))
    return torch.randperm(examples, generator=generator)


def _steps(
    model: nn.Module, data: Split, optimiser: torch.optim.Optimizer, recipe: Recipe, objective: Objective,
    run: range, steps: int, listener: Progress,
) -> float:  # fmt: skip
    """Take the steps of ``run``, all of one epoch; the mean loss of their examples."""
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
        listener.advance(TASK)
        total += loss.detach() * len(chosen)
        seen += len(chosen)
        if (step + 1 - run[0]) % LOOK == 0 or step == run[-1]:
            mean = float(total) / seen
            if not np.isfinite(mean):
                raise TrainingError(
                    f"the loss became {mean} at step {step + 1} of {steps} (epoch {epoch + 1}); expected a finite "
                    f"number. {_LOWER}"
                )
    return mean


def _check_finite(model: nn.Module, step: int, steps: int, epoch: int) -> None:
    """A finite loss may have sent the weights to infinity in its own step: then no checkpoint is made of them."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise TrainingError(
                f"{name} is not finite after step {step} of {steps} (epoch {epoch + 1}); expected finite numbers. "
                f"{_LOWER}"
            )


def augmented(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Each image (B, C, H, W) shifted by up to an eighth of its side, zeros moving in, and mirrored with chance ½."""
    generator = torch.Generator().manual_seed(seed)
    count, side = len(images), images.shape[-1]
    reach = max(1, side // 8)
    shifts = torch.randint(-reach, reach + 1, (count, 2), generator=generator).to(images.device)
    mirrored = (torch.rand(count, generator=generator) < 0.5).to(images.device)
    rows = torch.arange(images.shape[-2], device=images.device)
    columns = torch.arange(side, device=images.device).expand(count, side)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = functional.pad(images, (reach,) * 4)
    r = (rows[None] + reach + shifts[:, :1])[:, None, :, None]
    c = (columns + reach + shifts[:, 1:])[:, None, None, :]
    return padded[torch.arange(count, device=images.device)[:, None, None, None],
                  torch.arange(images.shape[1], device=images.device)[None, :, None, None], r, c]  # fmt: skip


def _check_labels(model: nn.Module, data: Split) -> None:
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


def mixed(*numbers: int) -> int:
    """One 63-bit seed of several numbers, no two sequences alike in practice: (seed, purpose, …) keeps the random
    numbers of one purpose apart from those of another. Purposes: 0 order, 1 noise, 2 augmentation, 3 scores, 4 masks,
    5 examples; weights are drawn from the plain seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
