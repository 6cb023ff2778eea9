# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
# ---

# %% [markdown]
# # 02 · Subset sum: the three curves
#
# Run time: about 6 seconds on one core. Needs nothing but the package.
#
# Everything in slth comes down to one question: *among n random vectors, is there a subset whose sum is close to a
# given one?* It has three different answers, and mixing them up is the easiest mistake to make:
#
# 1. **exists**: a subset within ε is there;
# 2. **found**: an algorithm gets hold of it in reasonable time;
# 3. **proved**: a theorem guarantees it.

# %%
# %matplotlib inline
import os

import numpy as np
from scipy.stats import binomtest

from slth import Problem, figures, solve
from slth.rss import solve_batch
from slth.theory import certified, thresholds

smoke = os.environ.get("SLTH_SMOKE") == "1"

# %% [markdown]
# ## One instance
#
# A candidate of slth is an *NSN* vector: one normal number (the weight into a hidden channel) times a normal vector
# (the weights out of it). Here are 24 of them in the plane. Which ones sum to (½, ½)?

# %%
rng = np.random.default_rng(0)
vectors = rng.standard_normal((24, 1)) * rng.standard_normal((24, 2))
solution = solve(Problem(vectors=vectors, target=np.array([0.5, 0.5])))
print(f"keep {solution.selected.sum()} of 24: error {solution.error:.2g} ({solution.message})")
print(vectors[solution.selected].sum(axis=0))

# %% [markdown]
# *Optimal* is not a figure of speech: that none of the 2²⁴ subsets is better was proved.
#
# ## 1 · Exists
#
# Draw many instances of each size n, solve each of them to proved optimality, and count how often the best subset is
# within ε.

# %%
D, tolerances, trials = 2, (0.1, 0.03), 60 if smoke else 400
sizes = range(4, 19)


def instances(n):
    rng = np.random.default_rng([1, n])
    candidates = rng.standard_normal((trials, n, 1)) * rng.standard_normal((trials, n, D))
    return {"vectors": candidates, "targets": np.full((trials, D), 0.5)}


best = {n: solve_batch(**instances(n), method="exact").error for n in sizes}

# %% [markdown]
# Theory has something to say before any solving: the *expected number* of good subsets. The probability that there is
# one is at most that number (that is a theorem, and says something where it is below one). Nothing is promised above,
# and yet the measured curve rises right there.


# %%
def curve(eps):
    hits = [int((best[n] <= eps).sum()) for n in sizes]
    bands = [binomtest(k, trials).proportion_ci(method="exact") for k in hits]
    return {"eps": eps, "n": list(sizes), "successes": hits, "trials": [trials] * len(hits),
            "low": [band.low for band in bands], "high": [band.high for band in bands]}  # fmt: skip


expected = [
    [min(1.0, 2 ** thresholds.log2_expected_count(n=n, D=D, eps=eps, z=0.5)) for n in sizes] for eps in tolerances
]
figures.success_against_size(curves=[curve(eps) for eps in tolerances], expected=expected, dimension=D).get_figure()

# %% [markdown]
# ## 2 · Found
#
# Proving optimality takes time that grows exponentially with n. `relax` takes polynomial time instead: it
# walks to a vertex of the linear relaxation and rounds. How many candidates does *it* need for the same error?

# %%
found_sizes = (8, 16, 32, 64, 128, 256)
quick = {n: float(np.median(solve_batch(**instances(n), method="relax").error)) for n in found_sizes}
exact = {n: float(np.median(best[n])) for n in sizes}
for n, error in quick.items():
    print(f"n = {n:4}: median error of relax {error:.4f}" + (f", of the optimum {exact[n]:.4f}" if n in exact else ""))

# %% [markdown]
# The optimum's error falls *exponentially* with n. What is found in polynomial time falls like a *power* of n. That
# gap is not slth's: nobody knows a polynomial algorithm that closes it.
#
# ## 3 · Proved
#
# How many candidates are *guaranteed* to do (here: with probability at least one half)? The published theorem leaves
# its constant open, so that a number can only be had by assuming one. The certified width computes every constant,
# in interval arithmetic.

# %%
for eps in tolerances:
    first = thresholds.width(D=D, eps=eps, z=0.5)
    proof = certified.width(D, eps, 0.5, 0.5)
    print(f"ε = {eps}: expected one at n = {first.n}, proved at n = {proof.n}, "
          f"D⁶ log³(D/ε) = {proof.published_form:,.0f} (C = 1 assumed)")  # fmt: skip

# %% [markdown]
# All three in one picture: candidates against 1/ε.


# %%
def half(eps):
    """The first size at which half of the instances have a solution."""
    reached = [n for n in sizes if (best[n] <= eps).mean() >= 0.5]
    return {"n": reached[0], "low": reached[0] - 1, "high": reached[0]} if reached else None


def half_found(eps):
    reached = [n for n in found_sizes if quick[n] <= eps]
    return {"n": reached[0], "low": reached[0] / 2, "high": reached[0]} if reached else None


ax = figures.three_worlds(
    eps=tolerances,
    measured=[half(eps) for eps in tolerances],
    found={"found by relax (powers of two tried)": [half_found(eps) for eps in tolerances]},
    first_moment=[thresholds.width(D=D, eps=eps, z=0.5).crossing for eps in tolerances],
    certified=[certified.width(D, eps, 0.5, 0.5).n for eps in tolerances],
    paper=[certified.width(D, eps, 0.5, 0.5).published_form for eps in tolerances],
    dimension=D,
)
ax.legend(fontsize=7, frameon=False)
ax.get_figure()
