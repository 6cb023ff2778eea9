"""Tables of the benchmark :mod:`benchmarks.tickets`."""

from __future__ import annotations

from typing import Any

from benchmarks.record import print_table
from slth.errors import human_bytes


def print_results(results: dict[str, Any]) -> None:
    """Print the content of ``results/tickets.json`` as tables."""
    rows: list[tuple[str, ...]] = []
    sizes: list[tuple[str, ...]] = []
    for name, one in results["searches"].items():
        score = one["scores"]
        rows.append((
            name, f"{score['target']['accuracy']:.2%}", f"{score['ticket']['accuracy']:.2%}",
            f"{score['ticket']['agreement']:.2%}", f"{score['random ticket']['accuracy']:.2%}",
            f"{one['examples']:,}", f"{one['seconds']:.1f} s", human_bytes(one["peak_memory"]),
            "yes" if one["verified"] else "NO",
        ))  # fmt: skip
        target, ticket = one["costs"]
        bits, count = one["ideal_bits"], one["target_weights"]
        sizes.append((
            name, human_bytes(one["file_bytes"]), f"{8 * one['file_bytes'] / count:.1f}", f"{bits / count:.1f}",
            f"{(8 * one['file_bytes'] - 8 * 4096) / bits:.2f}", f"{ticket['weights']:,}",
            f"{ticket['flops'] / target['flops']:.0f}×", f"{ticket['milliseconds'] / target['milliseconds']:.0f}×",
        ))  # fmt: skip
    header: tuple[str, ...] = (
        "search", "target", "ticket", "agreement", "random", "images", "time", "memory", "verified"
    )  # fmt: skip
    print_table("Tickets on MNIST", header, rows)
    header = (
        "search", "file", "bits/weight", "log2 C(n,k)/weight", "(file − 4 kB)/log2 C", "numbers held", "operations",
        "latency",
    )  # fmt: skip
    print_table("Size and cost beside the target", header, sizes)
    for name, one in results["searches"].items():
        layers = [
            (layer["name"], layer["dimension"], f"{layer['width']:,}", f"{layer['kept']:,}", f"{layer['error']:.2g}",
             f"{layer['relative_rms']:.2%}", f"{layer['seconds']:.1f}")
            for layer in one["layers"]
        ]  # fmt: skip
        print_table(name, ("layer", "D", "width", "kept", "largest error", "relative RMS", "core seconds"), layers)
    if results["certificates"]:
        _print_certificates(results["certificates"])
    wide, generator = results["wide"], results["generator"]
    print(
        f"width 1,000,000, D = 72, one input channel: {wide['seconds']:.1f} s, {human_bytes(wide['peak_memory'])}, "
        f"relative RMS error {wide['relative_rms']:.3%}"
    )
    print(
        f"generator: {generator['one_thread'] / 1e6:.0f} million normals a second on one thread, "
        f"{generator['two_threads'] / 1e6:.0f} on two"
    )
    worst = max(one["folded_relative_difference"] for one in results["searches"].values())
    print(f"to_module() against the folded network: {worst:.1e} relative, on 4 images of each")
    print(f"to_module() against the masked parent: {results['masked_parent_relative_difference']:.1e} relative")


def _print_certificates(found: dict[str, Any]) -> None:
    network = found["network"]
    print(
        f"certified: largest output difference over [0, 1]^784 between {network['found']:.3g} (found) and "
        f"{network['proved']:.3g} (proved), {network['observed']:.3g} on data ({network['seconds']:.0f} s)"
    )
    rows = [
        (f"{one['radius'] * 255:.0f}/255", f"{one['examples']:,}", f"{one['certified']:,}",
         f"{one['certified'] / one['examples']:.2%}", f"{one['seconds']:.0f} s")
        for one in found["agreement"]
    ]  # fmt: skip
    print_table("Certified agreement", ("radius", "images", "certified", "fraction", "time"), rows)
