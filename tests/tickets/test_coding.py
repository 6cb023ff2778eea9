"""The arithmetic code: every selection comes back, in as few bits as promised; other bytes are refused."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slth.tickets import Ticket
from slth.tickets.files.coding import Places, decode, encode, optimal_bits
from slth.tickets.files.places import ideal_bits


def plain_decode(alpha: float, beta: float, data: bytes, sizes: list[int]) -> tuple[list[int], int]:
    """A range decoder of 32 bits in Python's integers: the positions, and the number of bytes that it needs."""
    feed = iter([*data, *[0] * (4 * sum(sizes) + 4)])
    code, width, used, place, found = 0, 2**32 - 1, 0, 0, []
    for _ in range(4):
        code, used = code * 256 + next(feed), used + 1
    for size in sizes:
        kept = 0
        for seen in range(size):
            probability = int(max(1.0, min((alpha + kept) / ((alpha + beta) + seen) * 65536.0, 65535.0)))
            bound = width // 65536 * probability
            if code < bound:
                width, kept = bound, kept + 1
                found.append(place)
            else:
                code, width = code - bound, width - bound
            while width < 2**24:
                code, width, used = (code * 256 + next(feed)) % 2**32, width * 256, used + 1
            place += 1
    return found, used


def array(values: Iterable[int]) -> Places:
    return np.array(list(values), dtype=np.int64)


@st.composite
def instances(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Sizes of instances, and kept positions: few, many, all or none of them."""
    sizes = draw(st.lists(st.one_of(st.integers(0, 6), st.integers(0, 60)), min_size=1, max_size=12))
    total = sum(sizes)
    chosen = draw(st.one_of(st.sets(st.integers(0, max(total - 1, 0))), st.just(set(range(total))), st.just(set())))
    return sizes, sorted(chosen) if total else []


@settings(max_examples=300, deadline=None, derandomize=True)
@given(instances())
def test_every_selection_comes_back(instance: tuple[list[int], list[int]]) -> None:
    sizes, positions = instance
    alpha, beta, data = encode(array(positions), array(sizes))
    again = decode(alpha, beta, data, array(sizes))
    assert again.dtype == np.int64
    assert again.tolist() == positions
    assert plain_decode(alpha, beta, data.tobytes(), sizes) == (positions, len(data))


def subset(rng: np.random.Generator, total: int, kept: int) -> Places:
    return np.sort(rng.choice(total, kept, replace=False))


@pytest.mark.parametrize("density", [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("total", [2000, 200_000])
def test_one_instance_takes_the_best_and_seven_bytes(total: int, density: float) -> None:
    """log2 C(n, k) bits, half of log2 n for k itself, four bytes at the end, and a thousandth for rounding.

    This is not a matter of luck: given its α and β, the length of the code depends on n and k alone, apart from
    rounding, which takes less than a third of a thousandth.
    """
    kept = round(total * density)
    for seed in range(3):
        chosen, sizes = subset(np.random.default_rng([seed, total, kept]), total, kept), array([total])
        alpha, beta, data = encode(chosen, sizes)
        assert optimal_bits(total, kept) - 1 <= 8 * len(data) <= 1.001 * optimal_bits(total, kept) + 56
        assert (decode(alpha, beta, data, sizes) == chosen).all()


@pytest.mark.parametrize(("size", "density"), [(25, 0.5), (25, 0.1), (25, 0.02), (300, 0.1), (3, 0.5), (1, 0.3)])
def test_many_small_instances_take_their_entropy(size: int, density: float) -> None:
    """Places that are kept independently take n·H(k/n) bits, whatever instances they are cut into."""
    rng = np.random.default_rng(size)
    count = 60_000 // size
    chosen = np.flatnonzero(rng.random(size * count) < density)
    sizes = np.full(count, size)
    alpha, beta, data = encode(chosen, sizes)
    share = len(chosen) / (size * count)
    entropy = -size * count * (share * math.log2(share) + (1 - share) * math.log2(1 - share))
    assert 8 * len(data) <= 1.002 * entropy + 64
    assert (decode(alpha, beta, data, sizes) == chosen).all()


def test_instances_that_differ_are_told_apart() -> None:
    """Half of them keep all, half nothing: that takes a bit or two for each, not a bit for each place."""
    chosen = np.concatenate([np.arange(100 * i, 100 * i + 100) for i in range(0, 200, 2)])
    sizes = np.full(200, 100)
    alpha, beta, data = encode(chosen, sizes)
    assert (decode(alpha, beta, data, sizes) == chosen).all()
    assert 8 * len(data) < optimal_bits(20_000, 10_000) / 8


def test_carries_run_through() -> None:
    """When nearly all places are kept, the rare others push the code to its upper end again and again."""
    rng = np.random.default_rng(3)
    for kept in (0.5, 0.9, 0.99, 0.999, 0.9999):
        chosen, sizes = np.flatnonzero(rng.random(100_000) < kept), array([50_000, 0, 1, 49_999])
        alpha, beta, data = encode(chosen, sizes)
        assert (decode(alpha, beta, data, sizes) == chosen).all()


def test_optimal_bits_are_a_logarithm_of_a_binomial() -> None:
    for total, kept in ((1, 0), (1, 1), (10, 3), (60, 30), (1000, 17), (2**20, 5)):
        assert optimal_bits(total, kept) == pytest.approx(math.log2(math.comb(total, kept)), rel=1e-9, abs=1e-9)


def test_ideal_bits_are_summed_over_instances(digits_ticket: Ticket) -> None:
    """Every layer of this ticket sees one sign, so there is one binomial for each input channel."""
    expected = 0.0
    for i, blocks in enumerate(digits_ticket.kept):
        for channel, block in enumerate(blocks):
            size = int((digits_ticket.parent.mixing(i, channel) > 0).sum())
            expected += math.log2(math.comb(size, len(block.rows)))
    assert ideal_bits(digits_ticket) == pytest.approx(expected, rel=1e-9)


ODD = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 1e9, 1e-300, 2.0, 0.5]))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(alpha=ODD, beta=ODD, data=st.binary(max_size=40), sizes=st.lists(st.integers(0, 80), min_size=1, max_size=6))
def test_bytes_that_are_no_code_are_refused(alpha: float, beta: float, data: bytes, sizes: list[int]) -> None:
    """Accepted positions increase, and the plain decoder reads the same ones."""
    try:
        positions = decode(alpha, beta, np.frombuffer(data, dtype=np.uint8), array(sizes)).tolist()
    except ValueError:
        return
    assert (positions, len(data)) == plain_decode(alpha, beta, data, sizes)
    assert sorted(set(positions)) == positions
    assert all(0 <= position < sum(sizes) for position in positions)


def test_a_cut_or_padded_code_is_refused() -> None:
    """A code that is cut anywhere lacks bytes: reading zeros in their place needs as many as were written."""
    chosen, sizes = subset(np.random.default_rng(0), 5000, 300), array([2000, 3000])
    alpha, beta, data = encode(chosen, sizes)
    for cut in range(0, len(data) - 8, 7):
        with pytest.raises(ValueError, match=r"must have \d+ bytes; got"):
            decode(alpha, beta, data[:cut], sizes)
    for more in (1, 100):
        with pytest.raises(ValueError, match=f"must have {len(data)} bytes; got {len(data) + more}"):
            decode(alpha, beta, np.append(data, np.zeros(more, np.uint8)), sizes)


@pytest.mark.parametrize("prior", [0.0, -1.0, 1e9, math.nan, math.inf, -math.inf])
def test_a_prior_out_of_range_is_refused(prior: float) -> None:
    for alpha, beta in ((prior, 1.0), (1.0, prior)):
        with pytest.raises(ValueError, match=r"alpha and beta must lie in \(0, 1e9\)"):
            decode(alpha, beta, np.zeros(4, np.uint8), array([3]))


@pytest.mark.parametrize("data", [np.zeros((4, 1), np.uint8), np.zeros(4, np.int64), np.zeros(4), np.uint8(3)])
def test_a_code_of_another_type_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="code must be uint8"):
        decode(1.0, 1.0, data, array([3]))


@pytest.mark.parametrize("fill", [0x00, 0xFF, 0x5A])
def test_large_nonsense_is_refused_in_a_moment(fill: int) -> None:
    """2 MB of any bytes for a million places: no hang, and no place beyond them."""
    data = np.full(2**21, fill, dtype=np.uint8)
    began = time.process_time()
    for alpha, beta in ((1.0, 1.0), (1e-9, 1e8), (1e8, 1e-9)):
        with pytest.raises(ValueError, match="code must have"):
            decode(alpha, beta, data, array([2**20]))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("positions", [[3, 3], [5, 4], [-1], [-5, 2], [10], [0, 11]])
def test_positions_out_of_order_or_range_are_not_written(positions: list[int]) -> None:
    with pytest.raises(ValueError, match="must increase from 0 to below 10"):
        encode(array(positions), array([4, 6]))
