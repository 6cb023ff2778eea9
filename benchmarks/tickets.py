"""Tickets for networks that other people trained: python -m benchmarks.tickets [--quick] [--only WORD]

LeNet-5 (61,470 weights) and a 784-500-10 MLP on MNIST, weights by the authors of Pensia et al. 2020, read from
the folder ``targets`` beside the data folder (or $SLTH_TARGETS). Each search runs in a fresh process, so that its
peak memory is its own, and each ticket is verified in another one, from the file alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import peak_memory, print_table, read_json, write_json
from slth import data
from slth.errors import DataError, SlthError, human_bytes
from slth.networks import models
from slth.tickets import evaluate, find_ticket, load_ticket
from slth.tickets.explicit import explicit_parent

# (architecture, file, width, test images): half of each width is of each sign. The MLP's ticket holds 880,000 hidden
# channels, so it is evaluated on the first 2,000 images.
SEARCHES = {
    "lenet5 20,000/60,000": ("lenet5", "pensia_lenet5.safetensors", {"linear": 20_000, "conv": 60_000}, 10_000),
    "lenet5 6,000/20,000": ("lenet5", "pensia_lenet5.safetensors", {"linear": 6_000, "conv": 20_000}, 10_000),
    "mlp 784-500-10, 10,000": ("mlp", "pensia_fc2.safetensors", {"linear": 10_000}, 2_000),
}


def main() -> None:
    """Run the searches, print the tables, write benchmarks/results/tickets.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smaller LeNet-5 search on 1,000 images only")
    parser.add_argument("--only", metavar="WORD", help="searches with this in their name; others keep their results")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.one:
            print(json.dumps(_search(options.one, options.out)))
            return
        names = (
            ["lenet5 6,000/20,000"] if options.quick else [name for name in SEARCHES if (options.only or "") in name]
        )
        record = "tickets-quick" if options.quick else "tickets"
        results = read_json(record).get("searches", {}) if options.only else {}
        results |= {name: _benchmark(name, limit=1000 if options.quick else 10_000) for name in names}
        results_all: dict[str, Any] = {"searches": results, "masked_parent_relative_difference": _against_masks()}
    except SlthError as error:
        sys.exit(f"error: {error}")
    _print(results_all)
    print(f"written: {write_json(record, results_all)}")


def targets_folder() -> Path:
    """Where the trained targets lie: $SLTH_TARGETS, or ``targets`` beside the data folder."""
    stated = os.environ.get("SLTH_TARGETS")
    folder = Path(stated) if stated else (data.data_folder() or Path("nowhere")).parent / "targets"
    if not folder.is_dir():
        raise DataError(f"trained targets were expected in {folder}; it does not exist. Set SLTH_TARGETS or SLTH_DATA.")
    return folder


def _search(name: str, out: Path) -> dict[str, Any]:
    """One search in this process: its seconds and peak memory."""
    arch, file, width, _ = SEARCHES[name]
    model = models.load_weights(arch, targets_folder() / file)
    # Compile and load everything on a small instance first: the search is timed, not the compiler.
    find_ticket(models.mlp(sizes=(4, 3)), width=400)
    began = time.perf_counter()
    ticket = find_ticket(model, width=width, example_input=models.example_input(arch), input_range=(0.0, 1.0))
    seconds = time.perf_counter() - began
    ticket.save(out)
    return {"seconds": seconds, "peak_memory": peak_memory()}


def _benchmark(name: str, limit: int) -> dict[str, Any]:
    """Search and verify ``name`` in fresh processes, then evaluate it here."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ticket.slth"
        command = [sys.executable, "-m", "benchmarks.tickets", "--one", name, "--out", str(file)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            raise SlthError(f"the search {name} failed: {found.stderr.strip().splitlines()[-1]}")
        record: dict[str, Any] = json.loads(found.stdout)
        verified = subprocess.run([sys.executable, "-m", "slth", "ticket", "verify", str(file)], check=False)
        ticket = load_ticket(file)
        test = data.load("mnist", "test")
        limit = min(limit, SEARCHES[name][3])
        test = data.Split(test.images[:limit], test.labels[:limit])
        scores = evaluate(ticket, test)
        return {
            **record,
            "file_bytes": file.stat().st_size,
            "verified": verified.returncode == 0,
            "kept_channels": ticket.kept_channels,
            "examples": len(test),
            "scores": {one.name: {"accuracy": one.accuracy, "agreement": one.agreement} for one in scores},
            "layers": [
                {"name": one.name, "D": one.dimension, "width": one.width, "kept": one.kept, "error": one.error,
                 "relative_rms": one.relative_rms, "core_seconds": one.seconds}
                for one in ticket.layers
            ],
        }  # fmt: skip


def _against_masks() -> float:
    """max |compact − masked parent| / max |masked parent| of a LeNet-5 ticket of width 300/2,000."""
    model = models.load_weights("lenet5", targets_folder() / "pensia_lenet5.safetensors")
    ticket = find_ticket(model, width={"linear": 300, "conv": 2000}, input_range=(0.0, 1.0))
    images = data.load("mnist", "test").images[:16]
    with torch.no_grad():
        masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())(images)
        return float((ticket.to_module()(images) - masked).abs().max() / masked.abs().max())


def _print(results: dict[str, Any]) -> None:
    rows = []
    for name, one in results["searches"].items():
        score = one["scores"]
        rows.append((
            name, f"{score['target']['accuracy']:.2%}", f"{score['ticket']['accuracy']:.2%}",
            f"{score['ticket']['agreement']:.2%}", f"{score['random ticket']['accuracy']:.2%}",
            f"{one['examples']:,}", f"{one['seconds']:.1f} s", human_bytes(one["peak_memory"]),
            human_bytes(one["file_bytes"]), "yes" if one["verified"] else "NO",
        ))  # fmt: skip
    header = ("search", "target", "ticket", "agreement", "random", "images", "time", "memory", "file", "verified")
    print_table("Tickets on MNIST", header, rows)
    for name, one in results["searches"].items():
        layers = [
            (layer["name"], layer["D"], f"{layer['width']:,}", f"{layer['kept']:,}", f"{layer['error']:.2g}",
             f"{layer['relative_rms']:.2%}", f"{layer['core_seconds']:.1f}")
            for layer in one["layers"]
        ]  # fmt: skip
        print_table(name, ("layer", "D", "width", "kept", "largest error", "relative RMS", "core seconds"), layers)
    print(f"to_module() against the masked parent: {results['masked_parent_relative_difference']:.1e} relative")


if __name__ == "__main__":
    main()
