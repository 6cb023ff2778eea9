"""Certified widths: within their reach, consistent, never above what is known exactly, and refused where unproved."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from flint import arb
from scipy import integrate, special, stats

from slth.errors import InputError, WorkLimitError
from slth.rss import Problem, solve
from slth.theory import certified, enclosures
from slth.theory.composition import LayerSpec, group_width, tolerances
from slth.theory.scaled_numbers import from_balls
from slth.theory.second_moment import best_proposal
from slth.theory.width_search import covering_net

# (D, ε) → the n that must be reached for |z_i| ≤ 1/2 and success 1/2.
REACH = {(1, 0.01): 30, (2, 0.01): 45, (4, 0.01): 90, (9, 0.01): 260, (25, 0.1): 1000}


@pytest.mark.parametrize(("dim", "eps"), REACH)
def test_reach(dim: int, eps: float) -> None:
    found = certified.width(D=dim, eps=eps, delta=0.5, z_bound=0.5)
    assert found.n <= REACH[dim, eps]
    assert found.success >= 0.5
    assert found.blocks == 1
    assert certified.success_lower_bound(found.n, found.k, dim, eps, 0.5) == pytest.approx(found.success, abs=1e-12)
    assert found.n < found.published_form


def test_the_table_of_the_proof_is_what_the_code_gives() -> None:
    text = (Path(__file__).parents[2] / "proofs_check" / "certified_width.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (0\.\d+) \| ([\d,]+) \| (\d+) \| (0\.\d+) \| (\S+) \|$", text, re.MULTILINE)
    assert len(rows) == 8
    for dim, eps, n, k, success, published in rows[:3]:
        found = certified.width(D=int(dim), eps=float(eps), delta=0.5, z_bound=0.5)
        assert (found.n, found.k) == (int(n.replace(",", "")), int(k))
        assert found.success == pytest.approx(float(success), abs=1e-4)
        assert found.published_form == pytest.approx(float(published), rel=0.05)


def product_hit(z: float, eps: float) -> float:
    """P(|Z·W − z| ≤ ε) by quadrature over the density K_0(|x|)/π: independent of the certificates."""
    return float(integrate.quad(lambda x: special.k0(abs(x)) / math.pi, z - eps, z + eps)[0])


def test_one_candidate_is_below_and_near_the_exact_probability() -> None:
    exact = product_hit(0.5, 0.2)
    for n in (1, 2, 5):
        found = certified.success_lower_bound(n, 1, 1, 0.2, 0.5)
        assert 0.75 * (1 - (1 - exact) ** n) < found < 1 - (1 - exact) ** n


def test_the_sum_of_two_is_below_and_near_the_laplace_probability() -> None:
    exact = (math.exp(-0.4) - math.exp(-0.6)) / 2
    assert 0.8 * exact < certified.success_lower_bound(2, 2, 1, 0.1, 0.5) < exact


def test_never_above_the_exact_solver() -> None:
    """False-failure probability below 1e-3: it is that of a frequency this far below a *lower bound* of its mean."""
    found = certified.width(D=1, eps=0.01, delta=0.5, z_bound=0.5)
    rng, trials = np.random.default_rng(11), 120
    hits = 0
    for _ in range(trials):
        vectors = rng.standard_normal((found.n, 1)) * rng.standard_normal((found.n, 1))
        problem = Problem(vectors=vectors, target=np.array([0.5]), cardinality=found.k)
        hits += solve(problem, "exact", eps=0.01).error <= 0.01
    assert stats.binom.cdf(hits, trials, found.success) > 1e-3


def test_success_grows_with_candidates_and_shrinks_with_the_target() -> None:
    values = [certified.success_lower_bound(n, 5, 1, 0.01, 0.5) for n in (8, 11, 16, 30)]
    assert values == sorted(values)
    assert values[0] > 0
    by_target = [certified.success_lower_bound(11, 5, 1, 0.01, z) for z in (0.0, 0.5, 1.0, 3.0)]
    assert by_target == sorted(by_target, reverse=True)


def test_all_candidates_and_tiny_tolerances() -> None:
    assert 0 < certified.success_lower_bound(4, 4, 2, 0.1, 0.5) < 0.01
    assert certified.success_lower_bound(40, 14, 1, 1e-8, 0.5) > 0.5
    assert certified.success_lower_bound(5, 2, 9, 1e-9, 0.5) >= 0


def test_the_search_and_the_certificate_agree() -> None:
    one = best_proposal(9, 2, 0.01, 0.5)
    assert one.success(22) == pytest.approx(certified.success_lower_bound(22, 9, 2, 0.01, 0.5), abs=0.05)
    n = one.smallest(0.5, 1000)
    assert n is not None
    assert one.success(n) >= 0.5 > one.success(n - 1)


def test_blocks_amplify() -> None:
    found = certified.width(D=1, eps=0.05, delta=1e-3, z_bound=0.5)
    assert found.n == found.blocks * found.block_size
    assert found.blocks > 1
    assert found.success >= 1 - 1e-3
    assert found.success == pytest.approx(1 - (1 - found.block_success) ** found.blocks, abs=1e-12)


def test_uniform_covers_the_box_by_a_net() -> None:
    fixed = certified.width(D=2, eps=0.1, delta=0.1, z_bound=0.5)
    found = certified.width(D=2, eps=0.1, delta=0.1, z_bound=0.5, uniform=True)
    radius = Fraction(0.1) - Fraction(found.block_eps)
    assert found.net_points == math.ceil(Fraction(0.5) / radius) ** 2
    assert found.uniform
    assert found.success >= 0.9
    assert found.success <= 1 - found.net_points * (1 - found.block_success) ** found.blocks + 1e-12
    assert fixed.n < found.n
    assert fixed.net_points == 1
    assert covering_net(2, 0.1, 0.1, 0.5) == (found.block_eps, math.isqrt(found.net_points))


def test_a_certificate_out_of_reach_is_refused() -> None:
    with pytest.raises(WorkLimitError, match=r"no certificate within the work limit .* Raise eps, or lower D"):
        certified.width(D=4096, eps=1e-6, delta=0.5, z_bound=0.5)
    with pytest.raises(WorkLimitError, match="k ≤ 2000"):
        certified.success_lower_bound(5000, 2001, 1, 0.1, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: certified.width(D=0, eps=0.1, delta=0.5, z_bound=0.5), "D must be an integer between 1"),
        (lambda: certified.width(D=1, eps=0.0, delta=0.5, z_bound=0.5), "eps must be a finite number > 0"),
        (lambda: certified.width(D=1, eps=0.25, delta=0.5, z_bound=0.5), "hypothesis 0 < ε < 1/4"),
        (lambda: certified.width(D=1, eps=1e-200, delta=0.5, z_bound=0.5), "against underflow"),
        (lambda: certified.width(D=1, eps=0.1, delta=0.0, z_bound=0.5), "delta must be a finite number > 0"),
        (lambda: certified.width(D=1, eps=0.1, delta=1.0, z_bound=0.5), r"probability in \(0, 1\)"),
        (lambda: certified.width(D=1, eps=0.1, delta=0.5, z_bound=-1.0), "z_bound must be a finite number ≥ 0"),
        (lambda: certified.width(D=1, eps=0.1, delta=0.5, z_bound=1e9), "against overflow"),
        (lambda: certified.success_lower_bound(3, 4, 1, 0.1, 0.5), "k must be an integer between 1 and 3; got 4"),
        (lambda: certified.success_lower_bound(0, 1, 1, 0.1, 0.5), "n must be an integer between 1"),
        (lambda: certified.network_width([], 0.1, 0.1), "at least one layer"),
        (lambda: LayerSpec.from_weights("a", np.ones(3)), "weight must have shape"),
        (lambda: LayerSpec.from_weights("a", np.zeros((2, 2))), "largest of layer a must be"),
    ],
)
def test_bad_input_names_the_hypothesis(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_tolerances_by_hand() -> None:
    """ℓ = 2, L = 1 each: e_2 = ε, e_1 = ε/2, and each layer adds ε/2."""
    layers = [
        LayerSpec(name="a", taps=9, c_in=1, c_out=2, row_norm=1.0, largest=0.5),
        LayerSpec(name="b", taps=1, c_in=2, c_out=3, row_norm=1.0, largest=0.5, bias=0.25),
    ]
    first, second = tolerances(layers, 0.1, 1.0)
    assert first == pytest.approx(0.05 / 9)
    assert second == pytest.approx(0.05 / (2 * 1.05 + 1))


def test_a_spec_from_weights() -> None:
    weight = np.array([[[[0.5, -0.25]], [[0.0, 1.0]]], [[[-2.0, 0.0]], [[0.0, 0.5]]]])
    spec = LayerSpec.from_weights("conv", weight, np.array([0.0, -3.0]), signs=1)
    assert (spec.taps, spec.c_in, spec.c_out, spec.dimension, spec.instances) == (2, 2, 2, 4, 3)
    assert spec.row_norm == pytest.approx(2.5)
    assert spec.row_norm >= 2.5
    assert (spec.largest, spec.bias) == (3.0, 3.0)


def test_a_network_composes_layers_channels_and_signs() -> None:
    rng = np.random.default_rng(0)
    layers = [
        LayerSpec.from_weights("hidden", rng.uniform(-0.3, 0.3, (2, 3)), signs=2),
        LayerSpec.from_weights("out", rng.uniform(-0.3, 0.3, (1, 2)), np.zeros(1), signs=1),
    ]
    found = certified.network_width(layers, 0.2, 0.1)
    assert found.instances == 3 * 2 + 2 + 1
    shares = [1 - Fraction(layer.group.success) for layer in found.layers]
    for layer, share in zip(found.layers, shares, strict=True):
        assert layer.group.success >= 1 - 0.1 / (2 * found.instances)
        # too few candidates of one sign, by scipy's binomial
        assert stats.binom.cdf(layer.group.n - 1, layer.width, 0.5) <= 0.1 / (2 * found.instances)
        assert layer.group.eps * layer.scale <= layer.tolerance
        assert share < Fraction(1, 10)
    assert found.layers[0].group.D == 2
    wider = certified.network_width(layers, 0.01, 0.1)
    assert all(a.width < b.width for a, b in zip(found.layers, wider.layers, strict=True))


@pytest.mark.parametrize("dof", [1, 2, 7, 80, 600])
def test_chi_square_against_scipy(dof: int) -> None:
    for x in (0.3 * dof, dof, 1.7 * dof):
        assert float(enclosures.chi_square_cdf(x, dof)) == pytest.approx(stats.chi2.cdf(x, dof), rel=1e-9)


def test_functions_against_scipy() -> None:
    for a, b, x in [(1.0, 0.5, 0.3), (12.0, 3.5, 0.9), (300.0, 300.0, 0.45)]:
        assert float(enclosures.beta_cdf(x, a, b)) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-9)
    hit = special.ndtr(0.6 / math.sqrt(3)) - special.ndtr(0.4 / math.sqrt(3))
    assert float(enclosures.hit_probability(0.5, 0.1, 3.0)) == pytest.approx(hit, rel=1e-12)
    assert float(enclosures.hit_probability(0.5, 1e-40, 1.0)) == pytest.approx(2e-40 * stats.norm.pdf(0.5), rel=1e-12)
    assert float(enclosures.binomial_cdf(20, 60)) == pytest.approx(stats.binom.cdf(20, 60, 0.5), rel=1e-12)
    assert group_width(1, 0.5) == 1


def test_rounding_is_to_the_side_it_says() -> None:
    third = arb(1) / 3
    low, high = enclosures.rounded_down(third), enclosures.rounded_up(third)
    assert Fraction(low) < Fraction(1, 3) < Fraction(high)
    assert high - low < 1e-15
    assert enclosures.rounded_up(arb("inf")) == math.inf
    assert enclosures.rounded_down(arb("nan")) == -math.inf
    (mantissa,), (exponent,) = from_balls([arb(3) ** -2000])
    assert arb(float(mantissa)) * arb(2) ** int(exponent) >= arb(3) ** -2000
    assert 0.5 <= mantissa <= 1
    assert from_balls([arb(0)])[0][0] == 0
