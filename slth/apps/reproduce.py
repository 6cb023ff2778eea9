"""Two published subset-sum experiments, run again with an exact solver.

* ``pensia2020``: every weight of a 784-500-10 MLP as a subset sum of n = 21 uniform numbers on the target's range.
* ``dacunha2022``: every weight of LeNet-5's convolutions as a subset sum of n U[−1, 1] numbers, n = 5 … 30.

The authors used a commercial solver; here every instance is solved to proved optimality.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from slth import data
from slth.errors import DataError, InputError, check_int
from slth.networks import models
from slth.rss.weights import solve_weights
from slth.tickets.checks.evaluate import predict

# Numbers that the authors published, or that their files hold. They are shown beside ours; nothing is tuned to them.
PENSIA = {
    "seconds": 77266.02,
    "cores": 36,
    "target_accuracy": 0.9719,
    "ticket_accuracy": 0.9719,
    "random_weights": 8_337_000,
    "kept_weights": 3_725_871,
    "relative_size": 9.39,
}
DACUNHA_MEDIAN = {5: 0.0257, 10: 0.00114, 15: 0.000044}
DACUNHA_P90 = {5: 0.1126, 10: 0.00507, 15: 0.000197}
MOST_SEED = 2**64 - 1
DACUNHA_WARNING = (
    "published errors for n ≥ 20 lie far below the exact binary optimum (unrounded solver values were "
    "multiplied in): there is nothing valid to compare with"
)


@dataclass(frozen=True, kw_only=True)
class WeightTicket:
    """A network whose every weight is replaced by its best subset sum.

    Attributes:
        reading: ``vector per weight`` or ``vector per row``.
        weights: number of subset sums that were solved.
        largest_error: over all of them.
        within_eps: fraction with an error ≤ 0.01.
        target_accuracy: of the trained network on the MNIST test set.
        ticket_accuracy: of the network of subset sums.
        random_weights: number of candidates.
        kept_weights: number of selected candidates.
        seconds: of the solver.
    """

    reading: str
    weights: int
    largest_error: float
    within_eps: float
    target_accuracy: float
    ticket_accuracy: float
    random_weights: int
    kept_weights: int
    seconds: float

    @property
    def relative_size(self) -> float:
        """Kept random weights per target weight."""
        return self.kept_weights / self.weights


@dataclass(frozen=True, kw_only=True)
class ErrorQuantiles:
    """Errors of exact subset sums at one n.

    Attributes:
        n: number of candidates.
        median: of the errors.
        p90: 90th percentile of the errors.
        weights: number of subset sums that were solved.
        seconds: of the solver.
    """

    n: int
    median: float
    p90: float
    weights: int
    seconds: float


def pensia2020(weights: Path, *, n: int = 21, seed: int = 0, threads: int | None = None) -> list[WeightTicket]:
    """Replace every weight of an MLP by its best subset sum.

    The paper's text draws one random vector for each weight, its code one for each row of a matrix; both are run.

    Args:
        weights: a safetensors file of the trained MLP.
        n: number of candidates in a random vector.
        seed: of the random vectors.
        threads: of the solver; None for every core.

    Returns:
        A ticket for each reading.

    Raises:
        InputError: the seed is out of range.
        DataError: MNIST or the weights are not there.

    Source: pensia2020
    """
    check_int("seed", seed, 0, MOST_SEED)
    test = data.load("mnist", "test")
    model = models.load_weights("mlp", weights)
    wanted = _accuracy(model, test)
    layers = [module for module in model if isinstance(module, torch.nn.Linear)]
    low = min(float(layer.weight.detach().min()) for layer in layers)
    high = max(float(layer.weight.detach().max()) for layer in layers)
    _compile()
    tickets = []
    for reading in ("vector per weight", "vector per row"):
        rng = np.random.default_rng([seed, 2020])
        approximated = models.load_weights("mlp", weights)
        errors, kept, seconds = [], 0, 0.0
        for layer in (module for module in approximated if isinstance(module, torch.nn.Linear)):
            matrix = layer.weight.detach().double().numpy()
            began = time.perf_counter()
            if reading == "vector per weight":
                vectors = rng.uniform(low, high, (matrix.size, n))
                solution = solve_weights(vectors=vectors, targets=matrix.reshape(-1), threads=threads)
                sums = np.where(solution.selected, vectors, 0.0).sum(axis=1)
                solutions = [solution]
            else:
                drawn = [rng.uniform(low, high, n) for _ in matrix]
                solutions = [
                    solve_weights(vectors=vector, targets=row, threads=1)
                    for vector, row in zip(drawn, matrix, strict=True)
                ]
                sums = np.concatenate([one.selected @ vector for one, vector in zip(solutions, drawn, strict=True)])
            errors += [one.error for one in solutions]
            kept += sum(int(one.selected.sum()) for one in solutions)
            seconds += time.perf_counter() - began
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(sums.reshape(matrix.shape)))
        flat = np.concatenate(errors)
        tickets.append(
            WeightTicket(
                reading=reading,
                weights=len(flat),
                largest_error=float(flat.max()),
                within_eps=float((flat <= 0.01).mean()),
                target_accuracy=wanted,
                ticket_accuracy=_accuracy(approximated, test),
                random_weights=n * len(flat),
                kept_weights=kept,
                seconds=seconds,
            )
        )
    return tickets


def dacunha2022(
    weights: Path, *, sizes: tuple[int, ...] = (5, 10, 15, 20, 25, 30), seed: int = 0, threads: int | None = None
) -> list[ErrorQuantiles]:
    """Errors of exact subset sums of U[−1, 1]^n for the weights of LeNet-5's convolutions.

    Args:
        weights: a safetensors file of a trained LeNet-5.
        sizes: numbers of candidates n, each between 2 and 30.
        seed: of the random vectors.
        threads: of the solver; None for every core.

    Returns:
        The errors at each n.

    Raises:
        InputError: a size or the seed is out of range.
        DataError: the weights are not there.

    Source: dacunha2022cnn
    """
    check_int("seed", seed, 0, MOST_SEED)
    if max(sizes) > 30 or min(sizes) < 2:
        raise InputError(f"sizes must lie between 2 and 30; got {sizes}.")
    model = models.load_weights("lenet5", weights)
    goals = np.concatenate([_flat(tensor) for name, tensor in model.state_dict().items() if name.startswith("conv")])
    _compile()
    curves = []
    for n in sizes:
        vectors = np.random.default_rng([seed, 2022, n]).uniform(-1, 1, (len(goals), n))
        solution = solve_weights(vectors=vectors, targets=goals, threads=threads)
        median, p90 = np.quantile(solution.error, [0.5, 0.9])
        curves.append(
            ErrorQuantiles(n=n, median=float(median), p90=float(p90), weights=len(goals), seconds=solution.seconds)
        )
    return curves


def default_weights(name: str) -> Path:
    """The file of an experiment's trained weights, in ``targets`` beside the data folder.

    Raises:
        DataError: there is no such file.
    """
    folder = data.data_folder()
    path = (folder.parent if folder is not None else Path("nowhere")) / "targets" / name
    if not path.is_file():
        raise DataError(f"trained weights were expected at {path}; nothing is there. Pass --weights FILE.")
    return path


def _compile() -> None:
    """Compile the solver on a tiny instance, so that no timed row pays for it."""
    solve_weights(vectors=np.array([[0.5, -0.25]]), targets=np.array([0.1]), threads=1)


def _flat(tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    return tensor.double().numpy().reshape(-1)


def _accuracy(model: torch.nn.Module, test: data.Split) -> float:
    return float((predict(model, test.images) == test.labels).double().mean())
