"""The command line of the subset-sum engine: ``slth rss solve`` and ``slth reproduce``."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slth.cli.show import Json, echo, echo_json, table
from slth.errors import InputError
from slth.files import check_writable, write_whole

rss_app = typer.Typer(help="Multidimensional random subset sum.", no_args_is_help=True)
reproduce_app = typer.Typer(help="Run published experiments again, with exact solvers.", no_args_is_help=True)

WeightsFile = Annotated[
    Path | None, typer.Option(help="The trained weights; default: in targets beside the data folder.")
]

Seed = Annotated[int, typer.Option(help="Seed of the random numbers that are summed.")]


@rss_app.command("solve", epilog="Example: slth rss solve instance.npz --time-limit 10 --out solution.npz")
def solve(
    instance: Annotated[Path, typer.Argument(help=".npz with vectors (n, D), target (D,), optionally cardinality.")],
    method: Annotated[
        str, typer.Option(help="auto, exact, tree, core, local, relax, pursuit, differencing, cpsat, highs or scip.")
    ] = "auto",
    norm: Annotated[str, typer.Option(help="linf or l2: the norm of the error.")] = "linf",
    eps: Annotated[float | None, typer.Option(help="An error that is good enough.")] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds; then the best selection so far is given.")] = None,
    effort: Annotated[
        float, typer.Option(help="Without a time limit: seconds of one core, about. The result depends on no clock.")
    ] = 0.002,
    seed: Annotated[int, typer.Option(help="The seed of every random choice.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Number of threads; default: one for each core.")] = None,
    max_memory: Annotated[
        float, typer.Option(help="Bytes for the tables of exact and core and the lists of tree.")
    ] = 1e9,
    out: Annotated[Path | None, typer.Option(help="Write selected, error and lower_bound to this .npz.")] = None,
    as_json: Json = False,
) -> None:
    """Choose rows of a matrix whose sum is near a target."""
    import numpy as np

    from slth import rss
    from slth.rss.instance_file import read_instance

    if out is not None and check_writable(out, "--out").suffix != ".npz":
        raise InputError(f"--out must end in .npz; got {out}. For example: --out {out.with_suffix('.npz').name}")
    problem = read_instance(instance, norm)
    solution = rss.solve(
        problem, method, eps=eps, time_limit=time_limit, effort=effort, seed=seed, threads=threads,
        max_memory=max_memory,
    )  # fmt: skip
    if out is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, selected=solution.selected, error=solution.error, lower_bound=solution.lower_bound)
        write_whole(out, buffer.getvalue())
    record = {
        "n": problem.size,
        "D": problem.dimension,
        "norm": problem.norm,
        "error": solution.error,
        "lower_bound": solution.lower_bound,
        "status": str(solution.status),
        "message": solution.message,
        "chosen": solution.stats.get("chosen"),
        # Whose selection it is when the method found none in time, and why the solve ended late.
        **{name: solution.stats[name] for name in ("incumbent", "late") if name in solution.stats},
        "selected": int(solution.selected.sum()),
        "seconds": round(solution.seconds, 3),
    }
    if as_json:
        echo_json({**record, "indices": np.flatnonzero(solution.selected).tolist()})
    else:
        table(("", ""), [(name, str(value)) for name, value in record.items()], numbers=False)


@reproduce_app.command("pensia2020", epilog="Example: slth reproduce pensia2020 --json")
def pensia(weights: WeightsFile = None, seed: Seed = 0, as_json: Json = False) -> None:
    """397,000 weights of an MLP as exact subset sums of 21 random numbers each."""
    from slth.apps import reproduce

    path = weights or reproduce.default_weights("pensia_fc2.safetensors")
    found = reproduce.pensia2020(path, seed=seed)
    if as_json:
        echo_json({"published": reproduce.PENSIA, "found": [asdict(one) for one in found]})
        return
    published = reproduce.PENSIA
    rows = [
        (
            one.reading,
            f"{one.largest_error:.2g}",
            f"{one.within_eps:.4%}",
            f"{one.target_accuracy:.2%}",
            f"{one.ticket_accuracy:.2%}",
            f"{one.random_weights:,}",
            f"{one.kept_weights:,}",
            f"{one.relative_size:.2f}",
            f"{one.seconds:,.1f}",
        )
        for one in found
    ]
    rows.append(
        (
            "published (Gurobi, 36 cores)", "", "", f"{published['target_accuracy']:.2%}",
            f"{published['ticket_accuracy']:.2%}", f"{published['random_weights']:,}",
            f"{published['kept_weights']:,}", f"{published['relative_size']:.2f}", f"{published['seconds']:,.1f}",
        )
    )  # fmt: skip
    header = ("reading", "largest error", "≤ 0.01", "target", "ticket", "random", "kept", "kept/weight", "seconds")
    table(header, rows)


@reproduce_app.command("dacunha2022", epilog="Example: slth reproduce dacunha2022")
def dacunha(weights: WeightsFile = None, seed: Seed = 0, as_json: Json = False) -> None:
    """Weights of LeNet-5's convolutions as exact subset sums of n random numbers, n = 5 … 30."""
    from slth.apps import reproduce

    path = weights or reproduce.default_weights("pensia_lenet5.safetensors")
    curves = reproduce.dacunha2022(path, seed=seed)
    if as_json:
        published = {"median": reproduce.DACUNHA_MEDIAN, "p90": reproduce.DACUNHA_P90}
        record = {"published": published, "found": [asdict(one) for one in curves], "note": reproduce.DACUNHA_WARNING}
        echo_json(record)
        return
    rows = [
        (
            str(one.n),
            f"{one.median:.3g}",
            _known(reproduce.DACUNHA_MEDIAN, one.n),
            f"{one.p90:.3g}",
            _known(reproduce.DACUNHA_P90, one.n),
            f"{one.seconds:.2f}",
        )
        for one in curves
    ]
    table(("n", "median error", "published", "90th percentile", "published", "seconds"), rows)
    echo(f"Note: {reproduce.DACUNHA_WARNING}.")


def _known(published: dict[int, float], n: int) -> str:
    return f"{published[n]:.3g}" if n in published else "–"
