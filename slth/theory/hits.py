r"""The probability that k random vectors sum to within ε of a target, in logarithms.

.. math:: P_k = P\Big(\big\| \textstyle\sum_{i=1}^k X_i − z \big\|_\infty ≤ ε\Big)

for three laws of X ∈ R^D:

- ``nsn``: X = Z·(Z_1, …, Z_D). Given the scales the sum is N(0, A·I) with A ~ χ²_k, so P_k is one integral over A.
- ``gaussian``: entries N(0, 1). The coordinates of the sum are independent N(0, k).
- ``uniform``: entries U[−1, 1]. The coordinates are independent, each with the Irwin–Hall distribution.

The relative accuracy of P_k is 1e-9 while |log P_k| ≤ 1e5, so also where P_k is far below the smallest float64. Beyond,
the rounding of log P_k itself limits it. The tests compare all three laws with exact or 60-digit values.

- One normal window is a Gauss–Legendre sum where the difference of two Φ would cancel, and comes from log Φ elsewhere.
- The integral over A is a trapezoidal sum in t = log A. The integrand is analytic, so the sum converges exponentially;
  it is refined until two sums in a row agree.
- A uniform window for k > 12 inverts the moment generating function along the line through its saddle point, where
  nothing cancels. The density has bounded support, so a fine enough trapezoidal sum along that line equals the
  integral, and the tail that is cut off is below 1e-17. For k ≤ 12 the window is a piecewise polynomial, evaluated in
  exact fractions.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import erfc, gammaln, log_ndtr, logsumexp

from slth.arrays import FloatArray, IntArray
from slth.errors import InputError, check_array, check_choice, check_int, check_positive

# The laws of the candidates. (The laws of a parent's weights are in slth.networks.generator.)
CANDIDATE_LAWS = ("nsn", "gaussian", "uniform")
# With a smaller ε, the squares in the sums over A would underflow float64.
SMALLEST_EPS = 1e-100

_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(24)
_GAUSS_NODES, _GAUSS_WEIGHTS = (_GAUSS_NODES + 1) / 2, _GAUSS_WEIGHTS / 2  # on [0, 1]
# Number of sizes k that share one grid over A.
_SIZES_PER_GRID = 64
# Terms this many nats below the largest are left out.
_NEGLIGIBLE_NATS = 50.0
# The finest trapezoidal sum has this many intervals.
_MOST_INTERVALS = 1 << 18
# Up to this k a window of the Irwin–Hall distribution is a short sum of exact fractions.
_LARGEST_EXACT_SIZE = 12
# Saddle points further out belong to the last percent of the support, where the exact sum has few terms.
_FARTHEST_SADDLE = 300.0


def check_target(D: int, eps: float, z: float | npt.ArrayLike) -> tuple[FloatArray, IntArray]:
    """Check a target; return its distinct |z_i| and how often each occurs.

    Args:
        D: dimension, ≥ 1.
        eps: ε (L∞).
        z: one number for every coordinate, or an array (D,).

    Returns:
        Two arrays of one length: the distinct |z_i|, and their counts.

    Raises:
        InputError: D < 1, ε is outside [1e-100, ∞), or z is not finite or has another length.
    """
    check_int("D", D, 1, hint="It is the length of one candidate vector.")
    check_positive("eps", eps, "The tolerance must be positive: no sum of continuous vectors hits a point.")
    if eps < SMALLEST_EPS:
        raise InputError(f"eps must be ≥ {SMALLEST_EPS:g}, or float64 overflows; got {eps:g}. Rescale the problem.")
    goal = check_array("z", np.atleast_1d(np.asarray(z)), "() or (D,)", 1, "Pass one number, or one per coordinate.")
    if np.ndim(z) and len(goal) != D:
        raise InputError(f"z must have D = {D} entries, or be one number for all of them; got {len(goal)}.")
    if np.abs(goal).max() > 1e100:
        raise InputError(f"|z| must be ≤ 1e100, or float64 overflows; got {np.abs(goal).max():g}. Rescale the problem.")
    values, counts = np.unique(np.abs(goal), return_counts=True)
    return values, counts * (1 if np.ndim(z) else D)


def log_hit(*, k: int | IntArray, D: int, eps: float, z: float | npt.ArrayLike, law: str = "nsn") -> FloatArray:
    r"""Natural logarithm of :math:`P_k = P(\| \sum_{i ≤ k} X_i − z \|_∞ ≤ ε)`, relative accuracy of P_k 1e-9.

    Args:
        k: number of vectors, ≥ 0, or an array of such numbers.
        D: length of the vectors.
        eps: ε > 0 (L∞).
        z: one number for every coordinate, or an array (D,).
        law: law of X, one of :data:`CANDIDATE_LAWS`; the module's docstring defines them.

    Returns:
        float64 of the shape of ``k``; −∞ where a hit is impossible.

    Raises:
        InputError: an argument is out of range.

    Source: first_moment
    """
    values, counts = check_target(D, eps, z)
    check_choice("law", law, CANDIDATE_LAWS)
    sizes = np.atleast_1d(np.asarray(k))
    if not np.issubdtype(sizes.dtype, np.integer) or sizes.min(initial=0) < 0:
        raise InputError(f"k must be an integer ≥ 0 (a number of vectors), or an array of them; got {k!r}.")
    result = np.full(len(sizes), 0.0 if values.max() <= eps else -np.inf)  # for k = 0, the empty sum 0
    some = np.flatnonzero(sizes > 0)
    for start in range(0, len(some), _SIZES_PER_GRID):
        block = some[start : start + _SIZES_PER_GRID]
        result[block] = _LOG_HIT[law](sizes[block].astype(np.float64), values, counts, eps)
    return result.reshape(np.shape(k))


def log_normal_window(z: float, eps: float, variance: FloatArray) -> FloatArray:
    """The logarithm of P(|N(0, A) − z| ≤ ε) for each variance A.

    Args:
        z: centre of the window, ≥ 0.
        eps: half its width, > 0.
        variance: the variances A > 0.
    """
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        scale = np.sqrt(variance)
        middle, half = z / scale, eps / scale
        result = np.empty_like(scale)
        near = (half <= 3.0) & (middle * half <= 20.0)
        m, h = middle[near], half[near]
        # ∫ over the window = 2h·φ(m)·∫₀¹ cosh(m·h·u)·exp(−(h·u)²/2) du
        inner = (
            np.cosh(np.multiply.outer(m * h, _GAUSS_NODES)) * np.exp(-0.5 * np.multiply.outer(h, _GAUSS_NODES) ** 2)
        ) @ _GAUSS_WEIGHTS
        result[near] = np.log(2 * h * inner) - 0.5 * m * m - 0.5 * math.log(2 * math.pi)
        covers = ~near & (half >= middle)
        m, h = middle[covers], half[covers]
        result[covers] = np.log1p(-0.5 * (erfc((h - m) / math.sqrt(2)) + erfc((h + m) / math.sqrt(2))))
        beyond = ~near & (half < middle)
        m, h = middle[beyond], half[beyond]
        lower, upper = log_ndtr(h - m), log_ndtr(-h - m)
        result[beyond] = lower + np.log1p(-np.exp(np.where(np.isneginf(lower), -np.inf, upper - lower)))
    return result


def _log_nsn(k: FloatArray, values: FloatArray, counts: IntArray, eps: float) -> FloatArray:
    """The logarithm of P_k for NSN vectors: one integral over the sum A of their squared scales."""

    def integrand(t: FloatArray) -> FloatArray:
        """Array (k, t): the logarithm of the χ²_k density of A = e^t, times dA/dt, times the D windows."""
        scale = np.exp(t)
        hit = sum(count * log_normal_window(float(z), eps, scale) for z, count in zip(values, counts, strict=True))
        normalizer = gammaln(k / 2) + k / 2 * math.log(2)
        return np.asarray(np.multiply.outer(k / 2, t) + (hit - scale / 2) - normalizer[:, None])

    # Left of `low` every window is 1 or cannot reach its target, and the density falls as e^{kt/2}. Right of `high`
    # A is beyond the peak, which Σ z² determines, and the density falls as e^{−A/2}.
    low = 2 * math.log(eps) - 12 - 2 * _NEGLIGIBLE_NATS / k.min()
    reach = k.max() + math.sqrt(float(counts @ values**2)) + eps
    grid = np.linspace(low, math.log(reach + 20 * math.sqrt(reach) + 4 * _NEGLIGIBLE_NATS), 2049)
    terms = integrand(grid)
    alive = np.flatnonzero((terms > terms.max(axis=1, keepdims=True) - 1.5 * _NEGLIGIBLE_NATS).any(axis=0))
    low, high = grid[max(alive[0] - 1, 0)], grid[min(alive[-1] + 1, len(grid) - 1)]
    points, before = 128, np.full(len(k), np.inf)
    while points <= _MOST_INTERVALS:
        grid, step = np.linspace(low, high, points + 1, retstep=True)
        total = logsumexp(integrand(grid), axis=1) + math.log(step)
        if np.all(np.abs(total - before) <= 1e-10 + 1e-14 * np.abs(total)):
            return total
        points, before = 2 * points, total
    raise InputError(
        f"the integral over the scales did not converge for k = {k.min():.0f} … {k.max():.0f}, eps = {eps:g}; "
        "the quadrature was not made for this range."
    )


def _log_gaussian(k: FloatArray, values: FloatArray, counts: IntArray, eps: float) -> FloatArray:
    windows = [count * log_normal_window(float(z), eps, k) for z, count in zip(values, counts, strict=True)]
    return np.asarray(sum(windows), dtype=np.float64)


def _log_uniform(k: FloatArray, values: FloatArray, counts: IntArray, eps: float) -> FloatArray:
    return np.array([
        sum(count * _irwin_hall_window(int(one), float(z), eps) for z, count in zip(values, counts, strict=True))
        for one in k
    ])  # fmt: skip


def _irwin_hall_window(k: int, z: float, eps: float) -> float:
    """The logarithm of P(|U_1 + … + U_k − z| ≤ ε) for U_i uniform on [−1, 1] and z ≥ 0."""
    if z >= k + eps:
        return -math.inf
    if k <= _LARGEST_EXACT_SIZE:
        return _exact_window(k, z, eps)

    def slope(s: float) -> float:
        return k * _langevin(s) + eps * _langevin(eps * s) - z

    if slope(_FARTHEST_SADDLE) < 0:
        return _exact_window(k, z, eps)
    saddle = float(brentq(slope, 0.0, _FARTHEST_SADDLE, xtol=1e-9)) if z > 0 else 0.0
    # |M(s + iτ)/M(s)| ≤ C/|s + iτ|: its k-th power is below 1e-18 from `end` on.
    end = saddle / math.tanh(saddle) * 10 ** (18 / k) if saddle > 1e-6 else 10 ** (18 / k)
    step = 2 * math.pi / (1.01 * (k + eps + z))
    s = np.asarray(saddle + 1j * step * np.arange(math.ceil(end / step) + 1), dtype=np.complex128)
    top, window = _sinhc(np.array([saddle + 0j]))[0].real, _sinhc(eps * s)
    waves = np.exp(k * np.log(_sinhc(s) / top) - 1j * s.imag * z) * window
    density = step / (2 * math.pi) * (waves[0].real + 2 * waves[1:].real.sum())
    return k * math.log(top) - saddle * z + math.log(2 * eps * density)


def _exact_window(k: int, z: float, eps: float) -> float:
    """The same probability from the piecewise polynomial, in fractions, taken at −z where it has fewer terms."""

    def below(x: Fraction) -> Fraction:
        """The volume k!·2^k·P(ΣU ≤ x)."""
        pieces = range(math.floor(min(x + k, Fraction(2 * k)) / 2) + 1) if x > -k else range(0)
        return sum(((-1) ** j * math.comb(k, j) * (x + k - 2 * j) ** k for j in pieces), Fraction(0))

    goal, reach = Fraction(z), Fraction(eps)
    volume = below(min(reach - goal, Fraction(k))) - below(max(-goal - reach, Fraction(-k)))
    volume /= math.factorial(k) * 2**k
    return math.log(volume.numerator) - math.log(volume.denominator) if volume else -math.inf


def _langevin(x: float) -> float:
    """The slope coth x − 1/x of log(sinh x / x)."""
    return x / 3 - x**3 / 45 if abs(x) < 1e-2 else 1 / math.tanh(x) - 1 / x


def _sinhc(s: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
    small = np.abs(s) < 1e-4
    safe = np.where(small, 1.0, s)
    return np.where(small, 1 + s * s / 6, np.sinh(safe) / safe)


_LOG_HIT = {"nsn": _log_nsn, "gaussian": _log_gaussian, "uniform": _log_uniform}
