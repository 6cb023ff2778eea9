"""``relax`` at large D beside the speed of matrix products: ``python -m benchmarks.rss --only vertex``.

Each D is measured in a fresh process on one core, with the rate of float64 products in the same minute. The unit of the
ratio is the time of 4·D³ operations at that rate, two products of D × D matrices. ``python -m benchmarks.vertex D n``
prints one measurement as JSON.

With ``--device cuda`` every row has the time of a batch on that GPU beside it, and a last row a whole layer: 512
instances at D = 4608. :mod:`slth.rss.device.relax` works out what they take. A GPU of 139 GiB has room for 55 of them
at once; the host makes the candidates in float64, for HOST_BYTES at a time.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks.record import peak_memory
from slth.rss import Problem, solve, solve_batch
from slth.rss.threads import one_blas_thread

Row = dict[str, Any]
# (D, n/D), and how many instances of each are timed.
SIZES = {(144, 10): 20, (288, 10): 10, (576, 10): 6, (1152, 10): 3, (4608, 8): 1}
# The sizes between which the growth is fitted.
GROWTH = (576, 4608)
# (D, n/D), and how many instances of each go to a device; the last one is a whole layer.
DEVICE_SIZES = {(144, 10): 512, (288, 10): 512, (576, 10): 512, (1152, 10): 128, (4608, 8): 512}
# Bytes of candidates that the host makes at once.
HOST_BYTES = 3e10
# Side of the matrices whose product gives the rate.
PRODUCT_SIDE = 1536


def vertex(quick: bool, device: str | None = None) -> Row:
    """Seconds of one core, memory, error and ratio to the matrix-product limit, for each D.

    Args:
        quick: only D up to 576.
        device: a torch device on which batches are timed as well; None for none.

    Returns:
        A row for each D, and the exponent of the growth of seconds with D.
    """
    rows: Row = {}
    for (dimension, ratio), count in SIZES.items():
        if quick and dimension > 576:
            continue
        command = [sys.executable, "-m", "benchmarks.vertex", str(dimension), str(ratio * dimension), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows[f"D={dimension} n={ratio * dimension}"] = json.loads(done.stdout)
    if not quick:
        low, high = (next(row for name, row in rows.items() if name.startswith(f"D={end} ")) for end in GROWTH)
        rows["exponent of growth"] = math.log(high["cpu_seconds"] / low["cpu_seconds"]) / math.log(
            GROWTH[1] / GROWTH[0]
        )
    if device is not None:
        rows[f"on {device}"] = on_device(quick, device)
    return rows


def on_device(quick: bool, device: str) -> Row | str:
    """Seconds of an instance in batches on a torch device, for each D; ``no GPU here`` where there is none.

    Args:
        quick: only D up to 576.
        device: name of the torch device.
    """
    import torch

    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        return "no GPU here"
    rows: Row = {"device": torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device}
    for (dimension, ratio), count in DEVICE_SIZES.items():
        if not quick or dimension <= 576:
            name = f"D={dimension} n={ratio * dimension} instances={count}"
            rows[name] = measure_batch(dimension, ratio * dimension, count, device)
    return rows


def measure_batch(dimension: int, n: int, count: int, device: str) -> Row:
    """Solve ``count`` NSN instances by one pass of ``relax`` each, in batches on a torch device.

    Args:
        dimension: D.
        n: number of candidates.
        count: number of instances.
        device: name of the torch device.

    Returns:
        Seconds of an instance, with the way of its candidates to the device and the exact error on the host but without
        the drawing of the candidates, and its error.
    """
    rng = np.random.default_rng([n, dimension])
    few, zeros = rng.standard_normal((2, 80, 8)), np.zeros((2, 8))
    solve_batch(vectors=few, targets=zeros, method="relax", device=device)  # load the code first
    part = int(max(1, min(count, HOST_BYTES // (8 * n * dimension))))
    seconds, squares = 0.0, []
    for start in range(0, count, part):
        size = min(part, count - start)
        vectors = rng.standard_normal((size, n, dimension))
        vectors *= rng.standard_normal((size, n, 1))
        targets = rng.uniform(-1, 1, (size, dimension))
        began = time.perf_counter()
        found = solve_batch(vectors=vectors, targets=targets, method="relax", device=device)
        seconds += time.perf_counter() - began
        for i in range(size):
            squares.append(float(np.mean((found.selected[i] @ vectors[i] - targets[i]) ** 2)))
    return {
        "instances": count,
        "seconds_each": seconds / count,
        "error_constant": math.sqrt(float(np.mean(squares))) * n / dimension**1.5,
    }


def measure(dimension: int, n: int, count: int) -> Row:
    """Solve ``count`` NSN instances in this process by one pass of ``relax`` each.

    Args:
        dimension: D.
        n: number of candidates.
        count: number of instances.

    Returns:
        Median CPU seconds of an instance, its error, the peak memory of the process, and the product limit.
    """
    rng = np.random.default_rng([n, dimension])
    solve(Problem(vectors=rng.standard_normal((800, 80)), target=np.zeros(80)), "relax", threads=1)  # compile first
    before = peak_memory()
    seconds, squares = [], []
    rate = product_rate()
    for _ in range(count):
        vectors = rng.standard_normal((n, dimension))
        vectors *= rng.standard_normal((n, 1))
        problem = Problem(vectors=vectors, target=rng.uniform(-1, 1, dimension))
        began = time.process_time()
        solution = solve(problem, "relax", threads=1)
        seconds.append(time.process_time() - began)
        squares.append(float(np.mean((solution.selected @ vectors - problem.target) ** 2)))
        del problem, vectors
    rate = max(rate, product_rate())
    limit = 4 * dimension**3 / rate
    return {
        "instances": count,
        "cpu_seconds": float(np.median(seconds)),
        "cpu_seconds_low": min(seconds),
        "error_constant": math.sqrt(float(np.mean(squares))) * n / dimension**1.5,
        "product_gigaflops": rate / 1e9,
        "limit_seconds": limit,
        "ratio": float(np.median(seconds)) / limit,
        "candidates_memory": 8 * n * dimension,
        "peak_memory": peak_memory(),
        "memory_before": before,
    }


def product_rate() -> float:
    """Operations a second of float64 matrix products on one core: the best of three."""
    side = PRODUCT_SIDE
    a, b = (np.random.default_rng(i).standard_normal((side, side)) for i in range(2))
    best = math.inf
    with one_blas_thread():
        for _ in range(3):
            began = time.thread_time()
            a @ b
            best = min(best, time.thread_time() - began)
    return 2 * side**3 / best


if __name__ == "__main__":
    print(json.dumps(measure(*(int(text) for text in sys.argv[1:4]))))
