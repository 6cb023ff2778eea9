"""Tickets for trained networks on MNIST, their cost and certificates.

usage: python -m benchmarks.tickets [--quick] [--only WORD]

LeNet-5 (61,470 weights) and a 784-500-10 MLP have weights by the authors of Pensia et al. 2020, which are read from the
folder ``targets`` beside the data folder (or $SLTH_TARGETS). LeNet-5 without padding, ResNet-20, a small VGG and a
depthwise-separable network are trained here once, on the first 20,000 training images, and kept in
``benchmarks/cache``. Each search runs in a fresh process, so that its peak memory is its own. Each ticket is verified
in another process, from its files alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from benchmarks.record import peak_memory, read_json, write_json
from benchmarks.tables import print_results
from slth import data
from slth.baselines.recipe import Recipe
from slth.baselines.training import train
from slth.errors import DataError, SlthError
from slth.files import write_whole
from slth.networks import models
from slth.networks.generator import random_rows
from slth.progress import Lines
from slth.tickets import Ticket, certified_agreement, certify_network, evaluate, find_ticket, load_ticket
from slth.tickets.checks.cost import measure_cost
from slth.tickets.files.places import ideal_bits
from slth.tickets.networks.explicit import explicit_parent

CACHE = Path(__file__).parent / "cache"
TRAINED_ON = 20_000


@dataclass(frozen=True)
class Search:
    """One search.

    Attributes:
        arch: a name in :data:`slth.networks.models.ARCHITECTURES`.
        file: of its weights, in the targets folder; None for a network that is trained here.
        width: hidden channels per input channel, by layer name or kind.
        structure: ``channel``, ``kernel`` or ``weight``.
        epochs: length of the training here.
    """

    arch: str
    file: str | None
    width: dict[str, int]
    structure: str = "channel"
    epochs: int = 0


# Half of each width is of each sign. Tickets are evaluated folded, because their channels one by one take minutes.
SEARCHES = {
    "lenet5 20,000/60,000": Search("lenet5", "pensia_lenet5.safetensors", {"linear": 20_000, "conv": 60_000}),
    "lenet5 6,000/20,000": Search("lenet5", "pensia_lenet5.safetensors", {"linear": 6_000, "conv": 20_000}),
    "lenet5 kernels, 100/2,000": Search(
        "lenet5", "pensia_lenet5.safetensors", {"linear": 100, "conv": 2_000}, "kernel"
    ),
    "lenet5 weights, 50": Search("lenet5", "pensia_lenet5.safetensors", {"linear": 50, "conv": 50}, "weight"),
    "mlp 784-500-10, 10,000": Search("mlp", "pensia_fc2.safetensors", {"linear": 10_000}),
    "lenet5 unpadded": Search("lenet5-valid", None, {"linear": 20_000, "conv": 60_000}, epochs=3),
    "resnet20": Search("resnet20", None, {"linear": 10_000, "conv": 30_000}, epochs=1),
    "vgg-small": Search("vgg-small", None, {"linear": 10_000, "conv": 30_000}, epochs=2),
    "separable": Search("separable", None, {"linear": 10_000, "conv": 20_000}, epochs=5),
}
QUICK = "lenet5 6,000/20,000"
# This search's ticket gets certificates: at every test image, and in balls of these radii (in 255ths) around so many of
# the first images.
CERTIFIED = "lenet5 20,000/60,000"
BALLS = {1: 40, 2: 20}


def main() -> None:
    """Run the searches, print the tables, write benchmarks/results/tickets.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smaller LeNet-5 search and the speeds, 1,000 images")
    parser.add_argument("--only", metavar="WORD", help="searches with this in their name; others keep their results")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--wide", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--certify", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.one:
            print(json.dumps(_search(options.one, options.out)))
            return
        if options.wide or options.certify:
            print(json.dumps(_wide() if options.wide else _certificates()))
            return
        names = [QUICK] if options.quick else [name for name in SEARCHES if (options.only or "") in name]
        record = "tickets-quick" if options.quick else "tickets"
        results = read_json(record).get("searches", {}) if options.only else {}
        for name in names:
            results[name] = _benchmark(name, limit=1000 if options.quick else 10_000)
        kept = {} if options.quick else read_json(record).get("certificates", {})
        results_all: dict[str, Any] = {
            "searches": {name: results[name] for name in SEARCHES if name in results},
            "certificates": _in_process(["--certify"]) if CERTIFIED in names else kept,
            "wide": _in_process(["--wide"]),
            "generator": _generator(),
            "masked_parent_relative_difference": _against_masks(),
        }
    except SlthError as error:
        sys.exit(f"error: {error}")
    path = write_json(record, results_all)
    print_results(results_all)
    print(f"written: {path}")


def targets_folder() -> Path:
    """The folder of trained targets: $SLTH_TARGETS, or ``targets`` beside the data folder.

    Raises:
        DataError: there is no such folder.
    """
    stated = os.environ.get("SLTH_TARGETS")
    folder = Path(stated) if stated else (data.data_folder() or Path("nowhere")).parent / "targets"
    if not folder.is_dir():
        raise DataError(f"trained targets were expected in {folder}; it does not exist. Set SLTH_TARGETS or SLTH_DATA.")
    return folder


def load_target(search: Search) -> nn.Module:
    """The trained network of a search. A network without a file of weights is trained and cached first."""
    if search.file is not None:
        return models.load_weights(search.arch, targets_folder() / search.file)
    path = CACHE / f"{search.arch}.safetensors"
    if not path.is_file():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = models.ARCHITECTURES[search.arch].build()
        images = data.load("mnist", "train")
        part = data.Split(images.images[:TRAINED_ON], images.labels[:TRAINED_ON])
        began = time.perf_counter()
        recipe = Recipe(epochs=search.epochs, optimiser="adam", learning_rate=3e-3, schedule="one-cycle")
        train(model, part, recipe=recipe, progress=Lines(lambda line: print(f"{search.arch}: {line}")))
        print(f"{search.arch}: trained in {time.perf_counter() - began:.0f} s")
        CACHE.mkdir(exist_ok=True)
        write_whole(path, safetensors.torch.save(model.state_dict()))
    return models.load_weights(search.arch, path)


def _search(name: str, out: Path) -> dict[str, Any]:
    """Run one search in this process, and measure its seconds and peak memory."""
    search = SEARCHES[name]
    model = load_target(search)
    # Compile and load everything on small instances first, so that only the search is timed.
    for structure in ("channel", search.structure):
        find_ticket(models.mlp(sizes=(4, 3)), width=400, structure=structure)
    began = time.perf_counter()
    ticket = find_ticket(
        model,
        width=search.width,
        structure=search.structure,
        example_input=models.example_input(search.arch),
        input_range=(0.0, 1.0),
    )
    seconds = time.perf_counter() - began
    peak = peak_memory()
    ticket.save(out)
    return {"seconds": seconds, "peak_memory": peak}


def _wide() -> dict[str, Any]:
    """Search one input channel of width 1,000,000 at D = 72 in this process."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 8, 3, bias=False))
    find_ticket(model, width=2000, input_range=(0.0, 1.0))
    began = time.perf_counter()
    ticket = find_ticket(model, width=1_000_000, input_range=(0.0, 1.0))
    return {"seconds": time.perf_counter() - began, "peak_memory": peak_memory(), **asdict(ticket.layers[0])}


def _certificates() -> dict[str, Any]:
    """Certify the ticket of the CERTIFIED search: the bracket over [0, 1]^784, and agreement on test images."""
    search, images = SEARCHES[CERTIFIED], data.load("mnist", "test").images
    ticket = find_ticket(
        load_target(search), width=search.width, example_input=models.example_input(search.arch), input_range=(0.0, 1.0)
    )
    rows = [(0, len(images)), *BALLS.items()]
    balls = [certified_agreement(ticket, images[:count], radius=radius / 255) for radius, count in rows]
    bracket = certify_network(ticket, images=images[:1000])
    return {"network": bracket.describe(), "agreement": [one.describe() for one in balls]}


def _generator() -> dict[str, float]:
    """Random normals a second, on one thread and on two."""

    def draw(channel: int) -> None:
        random_rows(law="normal", seed=0, layer=0, part=1, channel=channel, rows=np.arange(20_000), size=72)

    def rate(threads: int) -> float:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, range(threads)))
            began = time.perf_counter()
            list(pool.map(draw, range(64)))
            return 64 * 20_000 * 72 / (time.perf_counter() - began)

    return {"one_thread": rate(1), "two_threads": rate(2)}


def _in_process(arguments: list[str]) -> dict[str, Any]:
    """Run this program with ``arguments`` in a fresh process, and read the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tickets", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SlthError(f"benchmarks.tickets {' '.join(arguments)} failed: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout))


def _benchmark(name: str, limit: int) -> dict[str, Any]:
    """Search and verify ``name`` in fresh processes, then evaluate it here."""
    search = SEARCHES[name]
    load_target(search)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ticket.slth"
        record = _in_process(["--one", name, "--out", str(file)])
        verified = subprocess.run([sys.executable, "-m", "slth", "ticket", "verify", str(file)], check=False)
        ticket = load_ticket(file)
        test = data.load("mnist", "test")
        test = data.Split(test.images[:limit], test.labels[:limit])
        scores = evaluate(ticket, test, folded=True)
        rounding = _rounding(ticket, test.images[:4])
        return {
            **record,
            "structure": search.structure,
            "file_bytes": file.stat().st_size,
            "ideal_bits": ideal_bits(ticket),
            "target_weights": ticket.target.weight_count,
            "verified": verified.returncode == 0,
            "kept_channels": ticket.kept_channels,
            "examples": len(test),
            "folded_relative_difference": rounding,
            "costs": [asdict(one) for one in measure_cost(ticket)],
            "scores": {one.name: {"accuracy": one.accuracy, "agreement": one.agreement} for one in scores},
            "layers": [asdict(one) for one in ticket.layers],
        }


def _rounding(ticket: Ticket, images: torch.Tensor) -> float:
    """The rounding difference max |compact − folded| / max |folded| on a few images."""
    with torch.no_grad():
        folded = ticket.folded()(images)
        return float((ticket.to_module()(images) - folded).abs().max() / folded.abs().max())


def _against_masks() -> float:
    """The difference max |compact − masked parent| / max |masked parent| of a LeNet-5 ticket of width 300/2,000."""
    model = models.load_weights("lenet5", targets_folder() / "pensia_lenet5.safetensors")
    ticket = find_ticket(model, width={"linear": 300, "conv": 2000}, input_range=(0.0, 1.0))
    images = data.load("mnist", "test").images[:16]
    with torch.no_grad():
        masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())(images)
        return float((ticket.to_module()(images) - masked).abs().max() / masked.abs().max())


if __name__ == "__main__":
    main()
