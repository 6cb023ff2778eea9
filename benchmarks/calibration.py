"""Calibrated tickets beside plain ones: the same parent, widths and solver, with and without unlabelled images.

usage: python -m benchmarks.calibration [--quick]

LeNet-5 has weights by the authors of Pensia et al. 2020, see :mod:`benchmarks.tickets`. Tickets are calibrated on the
first images of the training half, and judged on all 10,000 test images against the target's own outputs: how often the
class differs, and the output error over the variation of the outputs. Nothing was chosen on test images. Shifted data
are the test images in negative, noise, and Fashion-MNIST where ``$SLTH_DATA`` holds it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import print_table, write_json
from benchmarks.tickets import targets_folder
from slth import data
from slth.errors import SlthError
from slth.networks import models
from slth.tickets import Ticket, find_ticket

WIDTHS = {"6,000/2,000": {"conv": 6000, "linear": 2000}, "2,000/1,000": {"conv": 2000, "linear": 1000}}
IMAGES = (0, 8, 64, 512, 4096)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How a ticket's outputs differ from its target's on some images.

    Attributes:
        disagreement: fraction of the images with another class.
        relative_error: Euclidean norm of all output differences over that of the outputs without their mean.
    """

    disagreement: float
    relative_error: float


def main() -> None:
    """Find the tickets, print the table, write benchmarks/results/calibration.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the narrow ticket only, with 0 and 512 images")
    options = parser.parse_args()
    try:
        names = ["2,000/1,000"] if options.quick else list(WIDTHS)
        rows = [_row(name, count) for name in names for count in ((0, 512) if options.quick else IMAGES)]
    except SlthError as error:
        sys.exit(f"error: {error}")
    path = write_json("calibration-quick" if options.quick else "calibration", {"rows": rows})
    header = (
        "width",
        "images",
        "seconds",
        "file",
        "disagreement",
        "output error",
        "on training images",
        "shifted data",
    )
    cells = [
        (row["width"], f"{row['images']:,}", f"{row['seconds']:.1f}", f"{row['bytes']:,}",
         f"{row['test']['disagreement']:.2%}", f"{row['test']['relative_error']:.3f}",
         f"{row['training']['disagreement']:.2%}",
         ", ".join(f"{name} {one['disagreement']:.1%}" for name, one in row["shifted"].items()))
        for row in rows
    ]  # fmt: skip
    print_table("LeNet-5, plain (0 images) and calibrated", header, cells)
    print(f"written: {path}")


def _row(name: str, count: int) -> dict[str, Any]:
    """Find one ticket and judge it."""
    model = models.load_weights("lenet5", targets_folder() / "pensia_lenet5.safetensors")
    train, test = data.load("mnist", "train").images, data.load("mnist", "test").images
    find_ticket(models.mlp(sizes=(4, 3)), width=400, calibrate=torch.rand(8, 1, 2, 2))  # compiles everything
    began = time.perf_counter()
    ticket = find_ticket(model, width=WIDTHS[name], input_range=(0.0, 1.0), calibrate=train[:count] if count else None)
    seconds = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        size = ticket.save(Path(folder) / "ticket.slth").stat().st_size
    noise = torch.rand(2000, *test.shape[1:], generator=torch.Generator().manual_seed(0))
    shifted = {"negatives": 1 - test, "noise": noise}
    with contextlib.suppress(SlthError):  # it is not part of every data folder
        shifted["Fashion-MNIST"] = data.load("fashion-mnist-900", "test").images
    return {
        "width": name,
        "images": count,
        "seconds": seconds,
        "bytes": size,
        "test": asdict(agreement(ticket, test)),
        "training": asdict(agreement(ticket, train[-10_000:])),
        "shifted": {one: asdict(agreement(ticket, images)) for one, images in shifted.items()},
        "layers": ticket.info.get("calibration", {}).get("layers", []),
    }


def agreement(ticket: Ticket, images: torch.Tensor) -> Agreement:
    """Compare the outputs of a ticket with those of its target.

    Args:
        ticket: the ticket.
        images: float32 (N, …).
    """
    target, folded = ticket.target.to_module(), ticket.folded()
    with torch.no_grad():
        wanted = torch.cat([target(part) for part in images.split(250)])
        got = torch.cat([folded(part) for part in images.split(250)])
    return Agreement(
        disagreement=float((wanted.argmax(dim=1) != got.argmax(dim=1)).double().mean()),
        relative_error=float((wanted - got).norm() / (wanted - wanted.mean(dim=0)).norm()),
    )


if __name__ == "__main__":
    main()
