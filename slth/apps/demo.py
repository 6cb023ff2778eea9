"""The demo: from a trained CNN to a verified ticket with pictures, without downloads.

It trains a small CNN on scikit-learn's digits, finds tickets in random parents of growing width, verifies the widest
ticket, compares it with its controls, and writes a report.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slth import data, figures
from slth.baselines.digits import train_digits
from slth.environment import environment
from slth.errors import InputError, SlthError, check_int
from slth.files import check_folder, write_whole
from slth.progress import Lines, Progress, WithoutNews, listening
from slth.report import Section, png, write_report
from slth.tickets import Score, Ticket, Verification, evaluate, find_ticket

WIDTHS = (200, 500, 1000, 2000, 5000)
EPOCHS = 40
# With SLTH_SMOKE=1 the demo takes the same path in a few seconds, for continuous integration.
SMOKE_WIDTHS = (100, 200, 400, 800)
SMOKE_EPOCHS = 4


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo found.

    Attributes:
        ticket: the widest one.
        verification: of that ticket.
        scores: of that ticket, its target and the controls.
        widths: hidden channels per input channel of the parents, increasing.
        accuracy: of the ticket at each width.
        folder: that holds the report.
        seconds: wall time of the demo, without the report.
    """

    ticket: Ticket
    verification: Verification
    scores: list[Score]
    widths: tuple[int, ...]
    accuracy: list[float]
    folder: Path
    seconds: float


def run_demo(folder: str | Path, *, seed: int = 0, progress: bool | Progress = Lines(print)) -> DemoResult:
    """Run the demo and write ``folder``/{digits.slth, report.html, *.png}.

    Args:
        folder: to write to; it is made if it does not exist.
        seed: of the random parents.
        progress: who hears the lines of news and the progress of training, searches and evaluation.

    Returns:
        What the demo found.

    Raises:
        InputError: the seed is out of range, or the folder cannot be made or written to.
    """
    began = time.perf_counter()
    check_int("seed", seed, 0, 2**64 - 1)
    folder, listener = _made(check_folder(folder, "--out")), listening(progress)
    say = listener.say
    smoke = os.environ.get("SLTH_SMOKE") == "1"
    widths = SMOKE_WIDTHS if smoke else WIDTHS
    train, test = data.load("digits", "train"), data.load("digits", "test")
    say(f"target: a CNN on {len(train):,} digits of 8×8 pixels, trained for {SMOKE_EPOCHS if smoke else EPOCHS} epochs")
    model = train_digits(train, SMOKE_EPOCHS if smoke else EPOCHS, progress=WithoutNews([listener]))

    scores: dict[int, list[Score]] = {}
    for width in widths:
        ticket = find_ticket(
            model,
            example_input=test.images[:1],
            width=width,
            input_range=(0.0, 1.0),
            seed=seed,
            progress=listener,
        )
        scores[width] = evaluate(ticket, test, progress=listener)
        row = {score.name: score for score in scores[width]}
        say(
            f"width {width:>6,}: ticket {row['ticket'].accuracy:6.1%}  target {row['target'].accuracy:6.1%}  "
            f"random ticket {row['random ticket'].accuracy:6.1%}  kept {ticket.kept_channels:,} channels"
        )
    verification = ticket.verify()
    if not verification:
        raise SlthError(f"the ticket does not verify: {verification.failures[0]}. Please report this.")
    say(f"verified: {verification.channels:,} channels regenerated from seed {seed}, every error recomputed")
    ticket.save(folder / "digits.slth")
    result = DemoResult(
        ticket=ticket,
        verification=verification,
        scores=scores[widths[-1]],
        widths=widths,
        accuracy=[scores[width][1].accuracy for width in widths],
        folder=folder,
        seconds=time.perf_counter() - began,
    )
    _write_report(result, random=[scores[width][2].accuracy for width in widths])
    say(f"written: {folder}/report.html, {folder}/digits.slth and three figures ({result.seconds:.0f} s in all)")
    return result


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise InputError(f"cannot make the folder {folder}: {cause.strerror}. Choose another with --out.") from cause
    return folder


def _write_report(result: DemoResult, random: list[float]) -> None:
    ticket, folder = result.ticket, result.folder
    layers = figures.error_per_layer(ticket)
    widths = figures.accuracy_against_width(
        widths=result.widths, accuracy=result.accuracy, target=result.scores[0].accuracy, random=random, chance=0.1
    )
    filters = figures.filters_side_by_side(ticket)
    for name, ax in (("error-per-layer", layers), ("accuracy-against-width", widths), ("filters", filters)):
        write_whole(folder / f"{name}.png", png(ax))
    score = {one.name: one for one in result.scores}
    usable = sum(layer.usable for layer in ticket.layers)
    weights = sum(layer.weight_count for layer in ticket.parent.layers)
    sections = [
        Section(
            "What was compared",
            "All four see the same test digits. Nothing but the target was ever trained.",
            ("network", "accuracy", "agrees with target", "random hidden channels"),
            [(s.name, f"{s.accuracy:.1%}", f"{s.agreement:.1%}", f"{s.hidden_channels:,}") for s in result.scores],
        ),
        Section(
            "Accuracy against width",
            figure=widths,
            caption="Accuracy of tickets found in random networks of growing width.",
        ),
        Section(
            "Layer by layer",
            "Each input channel of each layer is one subset-sum problem in D dimensions: choose random channels whose "
            "sum is the trained kernel. The error is what is left, as the largest entry and relative to the kernel.",
            ("layer", "D", "width", "kept", "density", "largest error", "relative RMS error"),
            [
                (
                    one.name,
                    one.dimension,
                    f"{one.width:,}",
                    f"{one.kept:,}",
                    f"{one.density:.2%}",
                    f"{one.error:.2g}",
                    f"{one.relative_rms:.2%}",
                )
                for one in ticket.layers
            ],
            figure=layers,
            caption="Relative error of each layer's kernels.",
        ),
        Section("Filters", figure=filters, caption="First layer: trained filters, sums of random ones, difference."),
        Section(
            "Check it",
            f"The file holds a seed and {ticket.kept_channels:,} channel numbers, none of the {weights:,} random "
            "weights, and the target to compare with. Verification regenerated the kept channels from the seed and "
            f"recomputed all {result.verification.instances} errors.",
            code="slth ticket verify digits.slth\nslth ticket show digits.slth\n"
            "slth ticket evaluate digits.slth --data digits",
        ),
    ]
    versions = environment()["packages"]
    write_report(
        folder / "report.html",
        title="A subnetwork of a random CNN that does what a trained CNN does",
        lead=f"From {usable:,} usable random channels, {ticket.kept_channels:,} were kept and the rest removed, whole. "
        f"What remains classifies {score['ticket'].accuracy:.1%} of unseen digits correctly; the trained target "
        f"{score['target'].accuracy:.1%}; a random choice of as many channels {score['random ticket'].accuracy:.1%}.",
        sections=sections,
        footer=f"slth {versions['slth']}, torch {versions['torch']}, numpy {versions['numpy']}; "
        f"parent seed {ticket.parent.seed}; {np.round(result.seconds):.0f} s.",
    )
