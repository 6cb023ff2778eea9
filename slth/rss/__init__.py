"""Multidimensional random subset sum: state a problem, solve it, verify the answer.

>>> problem = Problem(vectors=X, target=z)        # X (n, D), z (D,)
>>> solution = solve(problem)                     # auto: exact, core, local, relax or pursuit
>>> solution.error, solution.status, solution.selected

Importing this package does not import torch.
"""

from slth.rss.plan import SOLVERS
from slth.rss.problem import BatchSolution, Problem, Solution, Status
from slth.rss.solve import solve, solve_batch
from slth.rss.stream import StreamSolution, solve_stream
from slth.rss.verify import error_lower_bound, error_upper_bound, exact_error, exact_objective
from slth.rss.weights import WeightSolution, solve_weights

__all__ = [
    "SOLVERS",
    "BatchSolution",
    "Problem",
    "Solution",
    "Status",
    "StreamSolution",
    "WeightSolution",
    "error_lower_bound",
    "error_upper_bound",
    "exact_error",
    "exact_objective",
    "solve",
    "solve_batch",
    "solve_stream",
    "solve_weights",
]
