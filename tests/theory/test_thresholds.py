"""Hit probabilities and first-moment thresholds against 40-digit quadrature, exact fractions and brute force."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.stats import binomtest

from slth.errors import InputError
from slth.theory import thresholds
from slth.theory.hits import CANDIDATE_LAWS, log_hit


def normal_window(z: Any, eps: Any, variance: Any) -> Any:
    """P(|N(0, variance) − z| ≤ ε) in mpmath, from the tail side so that nothing cancels."""
    scale = mpmath.sqrt(2 * variance)
    return (mpmath.erfc((z - eps) / scale) - mpmath.erfc((z + eps) / scale)) / 2


def nsn_oracle(k: Any, D: int, eps: Any, z: Any) -> Any:
    """log P_k by 60-digit quadrature over log A, around the peak found on a grid."""
    with mpmath.workdps(60):
        k, eps, z = mpmath.mpf(k), mpmath.mpf(eps), mpmath.mpf(z)

        def density(t: Any) -> Any:
            area = mpmath.exp(t)
            return mpmath.exp(k / 2 * (t - mpmath.log(2)) - area / 2 - mpmath.loggamma(k / 2)) * (
                normal_window(z, eps, area) ** D
            )

        grid = np.linspace(2 * float(mpmath.log(eps)) - 10, float(mpmath.log(k + z * z * D + 100)) + 1, 200)
        values = [density(mpmath.mpf(t)) for t in grid]
        alive = [t for t, value in zip(grid, values, strict=True) if value > max(values) * mpmath.mpf(10) ** -20]
        ends = mpmath.linspace(min(alive) - 0.4 - 50 / float(k), max(alive) + 0.4, 40)
        return mpmath.log(mpmath.quad(density, ends, maxdegree=4))


def irwin_hall_oracle(k: int, eps: float, z: float) -> Any:
    """log P(|ΣU − z| ≤ ε) by the alternating sum in fractions, with no symmetry used."""

    def below(x: Fraction) -> Fraction:
        terms = ((-1) ** j * math.comb(k, j) * (x + k - 2 * j) ** k for j in range(k + 1) if x + k - 2 * j > 0)
        return sum(terms, Fraction(0)) / (2**k * math.factorial(k)) if x < k else Fraction(1)

    probability = below(Fraction(z) + Fraction(eps)) - below(Fraction(z) - Fraction(eps))
    return mpmath.log(mpmath.mpf(probability.numerator) / probability.denominator)


@pytest.mark.parametrize(
    ("k", "D", "eps", "z"),
    [
        (1, 1, 0.1, 0.5), (1, 9, 1e-8, 0.0), (3, 4, 1e-2, 0.5), (5, 25, 1e-3, 3.0), (18, 4, 0.24, 0.5),
        (499, 500, 1e-4, 5e-5), (50, 500, 1e-8, 0.5), (3000, 500, 0.1, 1.0), (2, 1, 5.0, 0.3), (4, 2, 0.01, 40.0),
    ],
)  # fmt: skip
def test_nsn_hits_agree_with_sixty_digits(k: int, D: int, eps: float, z: float) -> None:
    # The difference of logarithms is the relative error of the probability, here down to e^−11,000.
    assert abs(float(nsn_oracle(k, D, eps, z) - mpmath.mpf(float(log_hit(k=k, D=D, eps=eps, z=z))))) < 1e-9


@pytest.mark.parametrize("z", [0.0, 1e-9, 0.3, 2.0, 30.0])
@pytest.mark.parametrize("eps", [1e-8, 1e-3, 0.2, 3.0])
@pytest.mark.parametrize("k", [1, 40, 5000])
def test_gaussian_hits_agree_with_sixty_digits(k: int, eps: float, z: float) -> None:
    with mpmath.workdps(60):
        exact = float(mpmath.log(normal_window(mpmath.mpf(z), mpmath.mpf(eps), mpmath.mpf(k))))
    assert float(log_hit(k=k, D=1, eps=eps, z=z, law="gaussian")) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5, 12, 13, 14, 30, 101, 300])
@pytest.mark.parametrize("eps", [1e-8, 1e-2, 0.2])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.98, 0.999])
def test_uniform_hits_agree_with_exact_fractions(k: int, eps: float, share: float) -> None:
    z = share * k
    exact = irwin_hall_oracle(k, eps, z)
    assert abs(float(exact) - float(log_hit(k=k, D=1, eps=eps, z=z, law="uniform"))) < 1e-9


@pytest.mark.parametrize("law", CANDIDATE_LAWS)
def test_coordinates_and_sizes_combine(law: str) -> None:
    """(D,) targets, arrays of k, the symmetry of the law, and impossible hits."""
    goal = np.array([0.3, -0.5, 0.3])
    many = log_hit(k=np.arange(7), D=3, eps=0.02, z=goal, law=law)
    assert many[0] == -np.inf
    assert many[4] == pytest.approx(log_hit(k=4, D=3, eps=0.02, z=-goal, law=law), abs=1e-9)
    if law != "nsn":  # independent coordinates
        alone = [log_hit(k=4, D=1, eps=0.02, z=z, law=law) for z in goal]
        assert many[4] == pytest.approx(sum(alone), abs=1e-9)
    assert log_hit(k=0, D=3, eps=0.6, z=goal, law=law) == 0.0
    assert np.isneginf(log_hit(k=2, D=1, eps=0.1, z=2.2, law="uniform"))


@pytest.mark.parametrize("law", CANDIDATE_LAWS)
def test_hits_agree_with_simulation(law: str) -> None:
    """Exact binomial intervals at 1e-6 a side: false failure of the three together below 1e-5."""
    rng = np.random.default_rng(7)
    shape = (200_000, 3, 2)
    draws = {"nsn": rng.normal(size=(*shape[:2], 1)) * rng.normal(size=shape), "gaussian": rng.normal(size=shape)}
    sums = draws.get(law, rng.uniform(-1, 1, shape)).sum(axis=1)
    hits = int((np.abs(sums - [0.5, -0.1]).max(axis=1) <= 0.2).sum())
    interval = binomtest(hits, shape[0]).proportion_ci(1 - 2e-6)
    assert interval.low < math.exp(log_hit(k=3, D=2, eps=0.2, z=[0.5, -0.1], law=law)) < interval.high


def test_expected_count_is_the_sum_over_sizes() -> None:
    n, D, eps, z = 4, 2, 0.05, 0.4
    sizes = [math.comb(n, k) * mpmath.exp(nsn_oracle(k, D, eps, z)) for k in range(1, n + 1)]
    found = thresholds.log2_expected_count(n=n, D=D, eps=eps, z=z)
    assert found == pytest.approx(float(mpmath.log(sum(sizes), 2)), abs=1e-9)
    assert thresholds.log2_expected_count(n=n, D=D, eps=eps, z=z, k=3) == pytest.approx(
        float(mpmath.log(sizes[2], 2)), abs=1e-9
    )


def test_large_sums_leave_nothing_out() -> None:
    """Above n = 512 only the sizes that matter are summed: all of them give the same."""
    n, D, eps = 1300, 60, 0.01
    sizes = np.arange(1, n + 1)
    choices = np.array([math.log(math.comb(n, k)) for k in sizes.tolist()])
    whole = np.logaddexp.reduce(choices + log_hit(k=sizes, D=D, eps=eps, z=0.3)) / math.log(2)
    assert thresholds.log2_expected_count(n=n, D=D, eps=eps, z=0.3) == pytest.approx(whole, abs=1e-9)


def test_expected_count_agrees_with_counting() -> None:
    """Every subset of 3,000 instances counted: mean against E[Y], 6 standard errors (false failure 2e-9)."""
    rng, n, D, eps = np.random.default_rng(3), 8, 2, 0.3
    vectors = rng.normal(size=(3000, n, 1)) * rng.normal(size=(3000, n, D))
    choices = np.array(list(itertools.product((0.0, 1.0), repeat=n)))
    counts = (np.abs(choices @ vectors - 0.4).max(axis=2) <= eps).sum(axis=1)
    mean, error = counts.mean(), counts.std() / math.sqrt(len(counts))
    assert abs(mean - 2 ** thresholds.log2_expected_count(n=n, D=D, eps=eps, z=0.4)) < 6 * error


@pytest.mark.parametrize("law", CANDIDATE_LAWS)
@pytest.mark.parametrize("k", [None, 6])
def test_width_is_the_smallest(law: str, k: int | None) -> None:
    found = thresholds.width(D=3, eps=0.01, z=0.5, law=law, k=k)
    here = thresholds.log2_expected_count(n=found.n, D=3, eps=0.01, z=0.5, law=law, k=k)
    before = thresholds.log2_expected_count(n=found.n - 1, D=3, eps=0.01, z=0.5, law=law, k=k)
    assert before < 0 <= here == found.log2_count
    assert found.n - 1 < found.crossing <= found.n
    assert k in (None, found.k)
    assert thresholds.width(D=3, eps=0.01, z=0.5, law=law, k=k, count=0.5).n <= found.n


def test_width_of_one_vector_by_hand() -> None:
    """Size 1: n·P_1 ≥ 1, for n that binomials in float64 could not tell apart."""
    for eps in (1e-2, 1e-6, 1e-12):
        expected = 1 / math.exp(log_hit(k=1, D=1, eps=eps, z=0.5))
        assert thresholds.width(D=1, eps=eps, z=0.5, k=1).n == pytest.approx(expected, rel=1e-6, abs=1)


def test_width_approaches_the_leading_order() -> None:
    """n / (D·log2(1/ε)) falls towards 1 as ε → 0 (the rest is a logarithm of n)."""
    ratios = [thresholds.width(D=2, eps=eps, z=0.5).n / (2 * math.log2(1 / eps)) for eps in (1e-3, 1e-9, 1e-60)]
    assert ratios[0] > ratios[1] > ratios[2] > 1
    assert ratios[2] < 1.05


def test_a_target_within_eps_of_zero_needs_nothing() -> None:
    found = thresholds.width(D=2, eps=0.2, z=[0.1, -0.2])
    assert (found.n, found.k, found.log2_count) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eps": 0.0}, "eps must be a finite number > 0"),
        ({"eps": -1.0}, "eps must be a finite number > 0"),
        ({"eps": 1e-200}, "eps must be ≥ 1e-100"),
        ({"eps": math.nan}, "eps must be"),
        ({"D": 0}, "D must be an integer ≥ 1; got 0"),
        ({"z": math.inf}, "z must be finite"),
        ({"z": 1e200}, r"\|z\| must be ≤ 1e100"),
        ({"z": [0.5]}, "z must have D = 2 entries"),
        ({"law": "cauchy"}, "law must be one of nsn, gaussian, uniform"),
        ({"k": -1}, "k must be an integer ≥ 0"),
        ({"k": 2, "law": "uniform", "z": 3.0}, r"only if \|z_i\| < k \+ ε"),
        ({"k": 0}, "an empty sum is 0"),
        ({"k": 1, "eps": 1e-20}, "above n = 4,611,686,018,427,387,904"),
        ({"D": 10_000, "eps": 1e-20}, "above n = 200,000"),
        ({"count": 0.0}, "count must be"),
    ],
)
def test_widths_that_make_no_sense_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        thresholds.width(**{"D": 2, "eps": 0.01, "z": 0.5, **change})


def test_more_than_all_candidates_cannot_be_chosen() -> None:
    with pytest.raises(InputError, match="k must be ≤ n"):
        thresholds.log2_expected_count(n=4, k=5, D=1, eps=0.1, z=0.5)
    with pytest.raises(InputError, match="n must be an integer between 0 and 200000"):
        thresholds.log2_expected_count(n=10**6, D=1, eps=0.1, z=0.5)
    with pytest.raises(InputError, match="k must be an integer ≥ 0"):
        log_hit(k=1.5, D=1, eps=0.1, z=0.5)  # type: ignore[arg-type]
