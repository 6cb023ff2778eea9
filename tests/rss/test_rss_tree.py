"""Lists of subset sums: sums and pairs against brute force; the promised error, threads, memory, time, fixed sizes."""

from __future__ import annotations

import itertools
import math
import time
import tracemalloc

import numpy as np
import pytest
from instances import nsn

from slth.errors import InputError
from slth.rss import Problem, Status, exact_error, solve, solve_batch
from slth.rss.control import Control
from slth.rss.sum_lists import all_sums, join_lists, make_scratch, nearest_pair
from slth.rss.tree import expected_error
from slth.rss.tree_shape import LOSS, OFF_CENTRE, PLANNED_THREADS, Shape, choose_shape, effort_bytes, tree_bytes


def normal_lists(count: int, dimension: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first, second = (rng.standard_normal((2, count, dimension)) * 1e6).astype(np.int32)
    return first, second


def test_a_list_holds_every_sum_at_the_place_of_its_signs() -> None:
    halves = np.random.default_rng(0).integers(-1000, 1000, (7, 3)).astype(np.int64)
    start = np.array([5, -6, 7])
    out = np.empty((128, 3), dtype=np.int64)
    assert all_sums(halves, start, out) == 128
    for place in range(128):
        signs = np.array([1 if place >> i & 1 else -1 for i in range(7)])
        assert (out[place] == start + signs @ halves).all()


@pytest.mark.parametrize(("count", "dimension"), [(300, 1), (700, 4), (3000, 9), (5000, 3)])
def test_a_join_keeps_true_sums_of_near_pairs(count: int, dimension: int) -> None:
    """The sums are those of the places, no pair comes twice, and what is kept is far nearer than a random pair.

    Seeds are fixed, so nothing can fail by chance.
    """
    first, second = normal_lists(count, dimension, seed=count)
    capacity = int(1.25 * count)
    out, parents = np.empty((capacity, dimension), dtype=np.int32), np.empty((capacity, 2), dtype=np.int32)
    scratch = make_scratch(capacity, dimension, np.int32)
    found, looked = join_lists(first, second, count, 4.0 * count, True, 1, out, parents, scratch)
    assert 0.7 * count < found <= capacity
    assert looked < 30 * count
    assert (out[:found] == first[parents[:found, 0]] + second[parents[:found, 1]]).all()
    assert len({tuple(pair) for pair in parents[:found].tolist()}) == found
    kept = np.sqrt((out[:found].astype(float) ** 2).mean())
    # The box that holds the nearest pairs has this spread; only pairs in one cell are seen, and lists are not boxes.
    ideal = math.sqrt(2) * 1e6 * math.sqrt(2 * math.pi / 12) * count ** (-1 / dimension)
    assert kept < 1.7 * ideal


@pytest.mark.parametrize("euclidean", [False, True])
@pytest.mark.parametrize("counted", [False, True])
def test_the_nearest_of_all_pairs_is_that_of_brute_force(euclidean: bool, counted: bool) -> None:
    first, second = normal_lists(60, 3, seed=4)
    if counted:
        first[:, -1], second[:, -1] = first[:, -1] % 4, -(second[:, -1] % 4)
    sums = (first[:, None] + second[None]).astype(float)
    lengths = np.sqrt((sums[..., : 3 - counted] ** 2).sum(-1)) if euclidean else abs(sums[..., : 3 - counted]).max(-1)
    if counted:
        lengths[sums[..., -1] != 0] = np.inf
    scratch = make_scratch(60, 3, np.int32)
    length, one, other = nearest_pair(first, second, 3600.0, 0, euclidean, counted, scratch)
    assert length == pytest.approx(lengths.min(), rel=1e-12)
    assert lengths[one, other] == lengths.min()


def test_equal_sums_do_not_take_for_ever() -> None:
    """All candidates are equal: every cell is full, and the number of pairs looked at is bounded."""
    problem = Problem(vectors=np.ones((300, 2)), target=np.array([80.5, 80.5]))
    began = time.monotonic()
    assert solve(problem, "tree", effort=0.05).error == 0.5
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("n", "dimension", "effort"), [(300, 2, 0.001), (1000, 4, 0.01), (1000, 9, 0.01), (500, 6, 0.1)]
)
def test_the_error_is_the_one_to_expect(n: int, dimension: int, effort: float) -> None:
    """The median of five instances lies between a fifth of the error to expect and 1.5 times it."""
    problems = [nsn(n, dimension, seed=seed) for seed in range(5)]
    ratios = [
        solve(one, "tree", effort=effort, threads=1).error / expected_error(one, effort, Control()) for one in problems
    ]
    assert 0.2 < np.median(ratios) < 1.5


def test_more_effort_finds_more_and_auto_says_what_it_expects() -> None:
    problems = [nsn(600, 6, seed=seed) for seed in range(3)]
    errors = [
        np.median([solve(one, effort=effort).error for one in problems]) for effort in (0.0005, 0.005, 0.05)
    ]  # fmt: skip
    assert errors[0] > 1.3 * errors[1] > 1.3**2 * errors[2]
    assert "expected for an effort of 0.05 s" in solve(problems[0], effort=0.05).stats["chosen"]
    with pytest.raises(InputError, match="effort must be a finite number > 0"):
        solve(problems[0], effort=0.0)


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    """A tree of four million entries has branches for several threads."""
    problem = nsn(600, 5, seed=1)
    one, two, three = (solve(problem, "tree", effort=0.4, threads=threads) for threads in (1, 2, 3))
    assert (one.selected == two.selected).all()
    assert (one.selected == three.selected).all()
    assert one.stats["lists"] * 2 ** one.stats["candidates_per_list"] > 2**20


def test_another_seed_is_another_search() -> None:
    problem = nsn(300, 5, seed=1)
    errors = {solve(problem, "tree", seed=seed).error for seed in range(4)}
    assert len(errors) == 4


def test_the_memory_is_respected() -> None:
    """Everything large is allocated by numpy, whose memory is traced; with less memory the tree is smaller."""
    problem, entries = nsn(600, 5, seed=1), {}
    solve(problem, "tree", effort=0.001)
    for memory in (4e6, 4e7):
        tracemalloc.start()
        stats = solve(problem, "tree", effort=1.0, threads=2, max_memory=memory).stats
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        entries[memory] = stats["lists"] * 2 ** stats["candidates_per_list"]
        assert peak < 1.1 * memory + 1e6
    assert entries[4e6] < entries[4e7]


def test_a_batch_is_what_single_solves_find() -> None:
    problems = [nsn(200, 4, seed=seed) for seed in range(4)]
    batch = solve_batch(
        vectors=np.stack([one.vectors for one in problems]), targets=np.stack([one.target for one in problems]),
        method="tree", effort=0.005,
    )  # fmt: skip
    for one, selected in zip(problems, batch.selected, strict=True):
        assert (solve(one, "tree", effort=0.005).selected == selected).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("size", [60, 100, 150, 200, 330])
def test_a_fixed_size_is_one_more_coordinate(size: int, norm: str) -> None:
    """Exactly k are selected, and the error is far below that of relax."""
    plain = nsn(400, 4, seed=3)
    problem = Problem(vectors=plain.vectors, target=plain.target, cardinality=size, norm=norm)
    found, before = solve(problem, "tree", effort=0.05), solve(problem, "relax")
    assert found.selected.sum() == size
    assert found.error < 0.3 * before.error


@pytest.mark.parametrize("size", [0, 3, 15, 390, 400])
def test_sizes_that_leave_no_lists_are_left_to_relax(size: int) -> None:
    plain = nsn(400, 4, seed=3)
    problem = Problem(vectors=plain.vectors, target=plain.target, cardinality=size)
    found = solve(problem, "tree", effort=0.05)
    assert found.selected.sum() == size
    assert found.stats["trees"] == 0
    assert (found.selected == solve(problem, "relax").selected).all()


def test_a_target_out_of_reach_is_approached_like_relax_does() -> None:
    plain = nsn(100, 3, seed=0)
    problem = Problem(vectors=plain.vectors, target=np.array([1e6, -1e6, 1e6]))
    assert solve(problem, "tree").error == solve(problem, "relax").error


def test_the_deadline_is_kept_and_eps_ends_the_search() -> None:
    problem = nsn(1000, 9, seed=2)
    solve(problem, "tree", time_limit=0.05)  # loads the compiled code
    began = time.monotonic()
    found = solve(problem, "tree", time_limit=0.5)
    assert time.monotonic() - began < 1.2 * 0.5 + 0.5
    assert found.error < 0.5 * solve(problem, "relax").error
    began = time.monotonic()
    reached = solve(problem, "tree", time_limit=60.0, eps=0.004)
    assert time.monotonic() - began < 30
    assert reached.error <= 0.004
    assert reached.status is Status.feasible
    assert exact_error(problem, reached.selected) <= 0.004


def test_without_a_time_limit_trees_grow_until_eps_is_reached() -> None:
    problem = nsn(300, 4, seed=2)
    assert solve(problem, "tree").error > 2e-6
    found = solve(problem, "tree", eps=2e-6)
    assert found.error <= 2e-6
    assert found.stats["trees"] > 1


def shape_of(bits: int, lists: int) -> Shape:
    """The best tree of the candidates 1, 2, 3, … with these numbers, by asking for a budget that allows only it."""
    squares = np.arange(1, bits * lists + 1, dtype=float) ** 2
    shape = choose_shape(squares, 4, lists * 2.0**bits, 1e9, itemsize=4)
    assert shape is not None
    return shape


@pytest.mark.parametrize(("bits", "lists"), [(4, 2), (5, 3), (6, 17), (8, 40)])
def test_a_tree_joins_every_list_once(bits: int, lists: int) -> None:
    shape = shape_of(bits, lists)
    nodes = shape.lists + len(shape.children)
    assert sorted(shape.children.ravel()) == list(range(nodes - 1))
    order = shape.order(nodes - 1).tolist()
    assert sorted(order) == list(range(nodes))
    place = {node: i for i, node in enumerate(order)}
    assert all(
        place[child] < place[shape.lists + i] for i, pair in enumerate(shape.children) for child in pair.tolist()
    )
    for number in (2, 4, 8):
        leaves = [node for one in shape.branches(number) for node in shape.order(one).tolist() if node < shape.lists]
        assert sorted(leaves) == list(range(shape.lists))


def test_no_order_of_joins_of_few_lists_promises_less() -> None:
    """All ways to join four lists by pairs, against the way by size: none has a smaller last spread."""
    shape = choose_shape(np.arange(1.0, 17.0) ** 2, 4, 64.0, 1e9, itemsize=4)
    assert shape is not None
    assert (shape.lists, shape.bits) == (4, 4)
    spreads = [math.sqrt(sum(i**2 for i in range(low + 1, low + 5)) / 16) for low in (12, 8, 4, 0)]
    contraction = LOSS * math.sqrt(2 * math.pi / 12) / 2

    def last(parts: tuple[float, ...]) -> float:
        """The smallest last spread over all orders of joins."""
        if len(parts) == 2:
            return math.hypot(*parts)
        return min(
            last((*(parts[i] for i in range(len(parts)) if i not in pair),
                  contraction * math.hypot(*(parts[i] for i in pair))))
            for pair in itertools.combinations(range(len(parts)), 2)
        )  # fmt: skip

    off_centre = math.exp(OFF_CENTRE * 4 / 16)
    promised = shape.expected / (LOSS * math.sqrt(math.pi / 2) * off_centre) * 2 ** (2 * 4 / 4)
    assert promised == pytest.approx(last(tuple(spreads)), rel=1e-12)


def test_the_bytes_of_an_effort_bound_those_of_its_trees() -> None:
    for entries in (1e4, 1e6, 1e8):
        squares = np.arange(1.0, 2001.0) ** 2
        shape = choose_shape(squares, 6, entries, 1e12, itemsize=8)
        assert shape is not None
        assert shape.lists * 2**shape.bits <= entries
        assert tree_bytes(shape.bits, shape.lists, 6, 8, 1) <= effort_bytes(entries, 6)
        tight = choose_shape(squares, 6, entries, 1e6, itemsize=8)
        assert tight is None or tree_bytes(tight.bits, tight.lists, 6, 8, PLANNED_THREADS) <= 1e6
