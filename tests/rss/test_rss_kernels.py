"""The numba kernels of pursuit, flips and tables against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from instances import core, nsn

from slth.arrays import BoolArray, FloatArray
from slth.rss import Problem, meet, pursuit, solve
from slth.rss.beam import MAX_FINISHED, beam_search
from slth.rss.branch import Branch, OutOfNodes, _attainable_range
from slth.rss.control import Control
from slth.rss.exact import rounding_slack
from slth.rss.flips import MIN_GAIN, POOL_RATIO, improve, improve_best


def residual_of(rows: FloatArray, goal: FloatArray, selected: BoolArray) -> FloatArray:
    return goal - selected.astype(float) @ rows


def energies_after_flips(rows: FloatArray, goal: FloatArray, selected: BoolArray, *, swaps_only: bool) -> FloatArray:
    """‖residual‖² after every 1-flip and 2-flip (or every swap), evaluated directly."""
    residual, sign = residual_of(rows, goal, selected), np.where(selected, -1.0, 1.0)
    change = sign[:, None] * rows
    first, second = np.triu_indices(len(rows), 1)
    if swaps_only:
        unlike = sign[first] != sign[second]
        first, second = first[unlike], second[unlike]
    pairs = residual - change[first] - change[second]
    singles = residual - change if not swaps_only else np.empty((0, rows.shape[1]))
    energies: FloatArray = np.square(np.vstack([singles, pairs])).sum(axis=1)
    return energies


@pytest.mark.parametrize("swaps_only", [False, True])
@pytest.mark.parametrize(("D", "m"), [(1, 2), (2, 12), (6, 40), (20, 80), (3, 1)])
def test_improve_ends_where_no_flip_and_no_pair_helps(D: int, m: int, swaps_only: bool) -> None:
    for seed in range(5):
        rows = core(D, m, seed)
        rng = np.random.default_rng([seed, 3])
        selected, goal = rng.random(m) < 0.5, rng.uniform(-1, 1, D)
        start = residual_of(rows, goal, selected)
        given = selected.copy()
        improved, moves = improve(rows, start, selected, swaps_only=swaps_only)
        assert (selected == given).all()  # the caller's array is left as it is
        energy, before = np.square(residual_of(rows, goal, improved)).sum(), np.square(start).sum()
        assert energy <= before
        assert (moves == 0) == (improved == selected).all()
        others = energies_after_flips(rows, goal, improved, swaps_only=swaps_only)
        # Gains are updated, not recomputed: they carry rounding errors of the size of the first energies.
        rounding = 1e-12 * max(before, np.square(rows).sum(axis=1).max())
        assert (others >= energy * (1 - MIN_GAIN) - rounding).all()
        assert not swaps_only or improved.sum() == selected.sum()


def test_improve_finds_a_pair_that_no_single_flip_finds() -> None:
    rows = np.array([[5.0, 1.0], [5.0, -1.0]])
    selected, moves = improve(rows, np.array([0.0, 2.0]), np.array([False, True]))
    assert selected.tolist() == [True, False]
    assert moves == 1


@pytest.mark.parametrize("swaps_only", [False, True])
@pytest.mark.parametrize("unit", [1.0, 2.0**60, 2.0**-60])
def test_improve_best_is_about_as_good_as_improve_with_all(unit: float, swaps_only: bool) -> None:
    """At D = 40 and 160 candidates: the 80 with the best flips, in float32, at any scale."""
    D, m, best, full = 40, 160, 0.0, 0.0
    assert m > max(POOL_RATIO * D, 128)
    for seed in range(6):
        rows = core(D, m, seed)
        rng = np.random.default_rng([seed, 4])
        selected = rng.random(m) < 0.5
        goal = selected @ rows + rng.normal(scale=0.2, size=D)
        start = residual_of(rows, goal, selected)
        found = improve_best(rows * unit, start * unit, selected, swaps_only=swaps_only)
        other, _ = improve(rows, start, selected, swaps_only=swaps_only)
        energy = np.square(residual_of(rows, goal, found)).sum()
        assert energy <= np.square(start).sum()
        assert not swaps_only or found.sum() == selected.sum()
        best, full = best + energy, full + np.square(residual_of(rows, goal, other)).sum()
    assert best <= 1.1 * full


@pytest.mark.parametrize(("n", "D", "stop"), [(1, 1, 0.0), (40, 3, 0.0), (200, 6, 0.4), (25, 30, 0.0)])
def test_pursue_takes_the_best_flip_until_none_helps(
    n: int, D: int, stop: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the same in numpy, one flip at a time; however often the deadline is checked."""
    for seed in range(5):
        problem = nsn(n, D, seed)
        vectors, norms = problem.vectors, np.square(problem.vectors).sum(axis=1)
        sign, left, flips = np.ones(n), problem.target.copy(), 0
        while np.linalg.norm(left) > stop:
            gain = 2 * sign * (vectors @ left) - norms
            best = gain.argmax()
            if gain[best] <= MIN_GAIN * (left @ left):
                break
            left -= sign[best] * vectors[best]
            sign[best] *= -1
            flips += 1
        for operations in (1, 2**24):
            monkeypatch.setattr(pursuit, "OPERATIONS_PER_CHECK", operations)
            selected, residual, made = pursuit.pursue(vectors, problem.target, norms, control=Control(), stop=stop)
            assert (selected == (sign < 0)).all()
            assert made == flips
            assert np.allclose(residual, left, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "D", "size"), [(2, 1, 1), (40, 3, 20), (40, 3, 3), (200, 6, 150), (25, 30, 12), (9, 2, 9)]
)
def test_exchange_swaps_the_best_out_and_the_best_in(
    n: int, D: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the same in numpy, one swap at a time; however often the deadline is checked."""
    for seed in range(5):
        problem = nsn(n, D, seed)
        vectors, norms = problem.vectors, np.square(problem.vectors).sum(axis=1)
        start = pursuit.alternating_selection(np.argsort(norms), size)
        chosen, left, swaps = start.copy(), problem.target - start @ vectors, 0
        while 0 < size < n:
            lost = np.where(chosen, -2 * (vectors @ left) - norms, -np.inf)
            out = lost.argmax()
            freed = left + vectors[out]
            won = np.where(chosen, -np.inf, 2 * (vectors @ freed) - norms)
            if lost[out] + won.max() <= MIN_GAIN * (left @ left):
                break
            left = freed - vectors[won.argmax()]
            chosen[out], chosen[won.argmax()] = False, True
            swaps += 1
        for operations in (1, 2**24):
            monkeypatch.setattr(pursuit, "OPERATIONS_PER_CHECK", operations)
            begin = problem.target - start @ vectors
            selected, residual, made = pursuit.exchange(vectors, begin, start, norms, control=Control())
            assert (selected == chosen).all()
            assert made == swaps
            assert np.allclose(residual, left, rtol=0, atol=1e-12)


def plain_beam(problem: Problem, width: int, size: int | None) -> set[tuple[bool, ...]]:
    """What the beam must return at its best, one state and one move at a time, for n small enough to pair all."""
    vectors, n = problem.vectors, problem.size

    def energy(state: tuple[bool, ...]) -> float:
        return float(np.square(problem.target - np.array(state) @ vectors).sum())

    start = (
        np.zeros(n, dtype=bool)
        if size is None
        else pursuit.alternating_selection(np.argsort(np.square(vectors).sum(axis=1)), size)
    )
    states, finished = [tuple(start)], []
    while states:
        reached = set()
        for state in states:
            moved = []
            for i in range(n):
                for j in range(n) if size is not None else [i]:
                    if size is None or (state[i] and not state[j]):
                        other = list(state)
                        other[i], other[j] = (not state[i], not state[j]) if i != j else (not state[i],) * 2
                        moved.append(tuple(other))
            better = [other for other in moved if energy(state) - energy(other) > MIN_GAIN * energy(state)]
            reached |= set(better)
            if not better:
                finished.append(state)
        states = sorted(reached, key=energy)[:width]
    return set(sorted(finished, key=energy)[:MAX_FINISHED])


@pytest.mark.parametrize("size", [None, 3, 5])
@pytest.mark.parametrize("width", [1, 3, 20])
def test_the_beam_keeps_the_best_distinct_states(width: int, size: int | None) -> None:
    """Sizes up to SWAP_SIDE on both sides, so that every swap is scored."""
    for seed in range(6):
        problem = nsn(9, 3, seed, reach=3.0)
        norms = np.square(problem.vectors).sum(axis=1)
        start = np.zeros(9, dtype=bool) if size is None else pursuit.alternating_selection(np.argsort(norms), size)
        residual = problem.target - start @ problem.vectors
        found, _ = beam_search(
            problem.vectors, residual, start, norms, width=width, fixed_size=size is not None, control=Control()
        )
        assert {tuple(state) for state in found} == plain_beam(problem, width, size)
        assert all(state.sum() == size for state in found) or size is None
        if width == 1 and size is None:
            greedy = pursuit.pursue(problem.vectors, problem.target, norms, control=Control())[0]
            assert (found[0] == greedy).all()


@pytest.mark.parametrize("size", [None, 100])
def test_a_time_limit_buys_pursuit_a_beam_that_is_no_worse(size: int | None) -> None:
    """Deterministic seeds; the limit is far above what the beam takes."""
    better = 0
    for seed in range(5):
        problem = nsn(300, 9, seed, cardinality=size)
        greedy, wide = solve(problem, "pursuit"), solve(problem, "pursuit", time_limit=60)
        assert wide.error <= greedy.error
        assert wide.stats["beam"] == pursuit.BEAM_WIDTHS[-1]
        better += wide.error < 0.7 * greedy.error
    assert better >= 3


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_an_alternating_selection_leaves_small_candidates_on_both_sides(n: int) -> None:
    order = np.random.default_rng(n).permutation(n)
    for size in range(n + 1):
        selected = pursuit.alternating_selection(order, size)
        assert selected.sum() == size
        few = 2 * min(size, n - size)
        assert (np.abs(np.diff(selected[order[:few]].astype(int))) == 1).all()
        assert (selected[order[few:]] == (2 * size > n)).all()


@pytest.mark.parametrize(("m", "D"), [(0, 2), (1, 1), (7, 3)])
def test_subset_sums_number_the_selections_in_binary(m: int, D: int) -> None:
    rows = nsn(max(m, 1), D, seed=7).vectors[:m]
    sums = meet.subset_sums(rows)
    bits = (np.arange(2**m)[:, None] >> np.arange(m)) & 1
    assert sums.shape == (2**m, D)
    assert np.allclose(sums, bits @ rows, rtol=1e-14, atol=1e-14)
    assert meet.popcounts(2**m).tolist() == bits.sum(axis=1).tolist()


@pytest.mark.parametrize("radius", [1e-9, 0.05, 3.0, 1e3])
@pytest.mark.parametrize("D", [1, 2, 6])
def test_the_grid_holds_every_sum_once_in_the_order_of_its_cells(D: int, radius: float) -> None:
    sums = meet.subset_sums(nsn(9, D, seed=8).vectors)
    grid = meet.build_grid(sums, radius)
    assert sorted(grid.codes.tolist()) == list(range(len(sums)))
    assert (grid.rows == sums[grid.codes]).all()
    assert (grid.width >= 2 * radius).all()
    assert (grid.starts[0], grid.starts[-1]) == (0, len(sums))
    used = len(grid.shape)
    cells = np.clip(np.floor((grid.rows[:, :used] - grid.origin) / grid.width), 0, grid.shape - 1).astype(int)
    number = np.ravel_multi_index(tuple(cells.T), tuple(grid.shape))
    assert (np.diff(number) >= 0).all()
    assert (np.searchsorted(number, np.arange(len(grid.starts))) == grid.starts).all()
    assert len(grid.starts) <= 4 * len(sums)  # memory in proportion to the sums, whatever the radius


def pair_errors(
    low: FloatArray, high: FloatArray, sums: FloatArray, target: FloatArray, order: float = np.inf
) -> FloatArray:
    """Errors of all (left code, right code) pairs, their residuals computed in the order that the scan uses."""
    left = (high[:, None] + low[None]).reshape(-1, low.shape[1])
    errors: FloatArray = np.linalg.norm((target - left)[:, None] - sums[None], ord=order, axis=2)
    return errors


@pytest.mark.parametrize("cardinality", [-1, 5])
@pytest.mark.parametrize("radius", [0.01, 0.3, 5.0])
@pytest.mark.parametrize("kind", ["nsn", "integers"])
@pytest.mark.parametrize("D", [1, 2, 5])
def test_the_scan_meets_every_pair_within_its_radius(D: int, kind: str, radius: float, cardinality: int) -> None:
    """The best error is right whenever it lies within the radius, and all pairs that have it are listed."""
    vectors = nsn(13, D, seed=9).vectors
    vectors = np.round(2 * vectors) if kind == "integers" else vectors
    low, high, sums = meet.subset_sums(vectors[:4]), meet.subset_sums(vectors[4:7]), meet.subset_sums(vectors[7:])
    for target in (np.full(D, 0.25), vectors[[0, 5, 8, 9, 12]].sum(axis=0)):
        errors = pair_errors(low, high, sums, target)
        if cardinality >= 0:
            ones = meet.popcounts(len(errors))[:, None] + meet.popcounts(len(sums))[None]
            errors[ones != cardinality] = np.inf
        ties = np.empty((10_000, 2), dtype=np.int64)
        sizes = meet.popcounts(len(low)), meet.popcounts(len(high)), meet.popcounts(len(sums))
        best, number = meet.scan(
            meet.build_grid(sums, radius), low, high, target, radius=radius, tie=0.0, span=(0, len(high)), ties=ties,
            euclidean=False, sizes=sizes if cardinality >= 0 else None, wanted=cardinality,
        )  # fmt: skip
        assert best >= errors.min()
        if errors.min() <= radius:
            assert best == errors.min()
            listed = [tuple(pair) for pair in ties[:number].tolist()]
            assert len(listed) == len(set(listed))
            assert set(listed) == {tuple(pair) for pair in np.argwhere(errors == best).tolist()}


@pytest.mark.parametrize("euclidean", [False, True])
@pytest.mark.parametrize("D", [1, 2, 5])
def test_the_scan_lists_every_pair_near_the_best(D: int, euclidean: bool) -> None:
    """Pairs on all sides of the box around many targets: none may be lost at the border of a cell."""
    sums = [meet.subset_sums(part) for part in np.split(nsn(18, D, seed=10).vectors, [4, 7])]
    low, high, right = sums
    rng = np.random.default_rng(10)
    for _ in range(10):
        target = right[rng.integers(len(right))] + low[rng.integers(len(low))] + rng.normal(scale=0.05, size=D)
        errors = pair_errors(low, high, right, target, order=2 if euclidean else np.inf)
        radius, tie = 2 * errors.min() + 0.05, errors.min() + 0.05
        ties = np.empty((errors.size, 2), dtype=np.int64)
        best, number = meet.scan(
            meet.build_grid(right, radius), low, high, target, radius=radius, tie=tie, span=(0, len(high)),
            ties=ties, euclidean=euclidean,
        )  # fmt: skip
        near = {tuple(pair) for pair in np.argwhere(errors <= min(radius, errors.min() + tie) * (1 - 1e-12)).tolist()}
        assert best == pytest.approx(errors.min(), rel=1e-12)
        assert near <= {tuple(pair) for pair in ties[:number].tolist()}


def test_the_scan_counts_ties_that_it_cannot_list() -> None:
    sums = meet.subset_sums(np.ones((6, 1)))
    ties = np.empty((5, 2), dtype=np.int64)
    best, number = meet.scan(
        meet.build_grid(sums, 0.5), sums, sums[:1], np.array([6.0]), radius=0.5, tie=1e-9, span=(0, 1), ties=ties,
        euclidean=False,
    )  # fmt: skip
    assert best == 0
    assert number > len(ties)
    assert (meet.popcounts(64)[ties[:, 0]] + meet.popcounts(64)[ties[:, 1]] == 6).all()


@pytest.mark.parametrize("wanted", [None, 0, 3, 9])
@pytest.mark.parametrize("kind", ["nsn", "integers"])
def test_branches_meet_every_selection_within_their_radius(kind: str, wanted: int | None) -> None:
    """The best error is right whenever it lies within the radius, and all selections that have it are listed."""
    for D, norm in ((1, "linf"), (3, "linf"), (3, "l2"), (6, "l2")):
        plain = nsn(9, D, seed=D)
        vectors = np.round(2 * plain.vectors) if kind == "integers" else plain.vectors
        problem = Problem(vectors=vectors, target=plain.target, cardinality=wanted, norm=norm)
        codes = (np.arange(2**9)[:, None] >> np.arange(9)) & 1 == 1
        if wanted is not None:
            codes = codes[codes.sum(axis=1) == wanted]
        errors = np.linalg.norm(problem.target - codes @ vectors, ord=2 if norm == "l2" else np.inf, axis=1)
        slack = rounding_slack(vectors, problem.target, norm)
        for radius in (0.5 * errors.min(), errors.min() + 6 * slack, 2 * errors.min() + 0.1, 1e3):
            search = Branch(problem, vectors, slack, 2**9, np.inf)
            scanned = search.scan(radius, Control())
            assert scanned is not None
            best, ties, complete = scanned
            assert complete
            assert search.nodes > 0
            if errors.min() <= radius - 3 * slack:
                assert best == pytest.approx(errors.min(), abs=2 * slack)
                near = {tuple(one) for one in codes[errors <= errors.min() + slack]}
                assert near <= {tuple(one) for one in ties}
                assert len(ties) == len({tuple(one) for one in ties})


def test_branches_cut_off_most_of_the_tree_and_count_what_they_see() -> None:
    problem = nsn(30, 10, seed=1)
    slack = rounding_slack(problem.vectors, problem.target)
    best = solve(problem, "exact").error
    search = Branch(problem, problem.vectors, slack, 10, np.inf)
    scanned = search.scan(best + 6 * slack, Control())
    assert scanned is not None
    found, ties, _ = scanned
    assert found == pytest.approx(best)
    assert len(ties) == 1
    assert search.nodes < 2**20
    with pytest.raises(OutOfNodes):
        Branch(problem, problem.vectors, slack, 10, -1).scan(best, Control())


@pytest.mark.parametrize("wanted", [None, 2])
def test_what_the_others_can_add_holds_for_every_selection_of_them(wanted: int | None) -> None:
    rows = nsn(7, 2, seed=3).vectors
    low, high = _attainable_range(rows, -1 if wanted is None else wanted)
    for t in range(8):
        codes = (np.arange(2 ** (7 - t))[:, None] >> np.arange(7 - t)) & 1
        for size in range(low.shape[1]):
            sums = codes @ rows[t:] if wanted is None else codes[codes.sum(axis=1) == size] @ rows[t:]
            if len(sums):
                assert np.allclose(low[t, size], sums.min(axis=0), atol=1e-12)
                assert np.allclose(high[t, size], sums.max(axis=0), atol=1e-12)


# A regression test of quality, not a statistical one: five fixed instances. The docstring of slth.rss.relax states
# 0.35·D^{3/2}/n; 0.6 leaves room for the spread between instances, not for a step that stopped working.
QUALITY = [nsn(2000, 36, seed) for seed in range(5)]


def root_mean_square(problem: Problem, method: str) -> float:
    selected = solve(problem, method, threads=1).selected
    return float(np.sqrt(np.mean(residual_of(problem.vectors, problem.target, selected) ** 2)))


def test_relax_is_as_good_as_it_says() -> None:
    relax = [root_mean_square(problem, "relax") for problem in QUALITY]
    assert max(relax) <= 0.6 * 36**1.5 / 2000
    pursuit = [root_mean_square(problem, "pursuit") for problem in QUALITY]
    assert np.median(relax) < 0.9 * np.median(pursuit)


def test_more_candidates_give_a_smaller_error() -> None:
    """Error about 1/n: four times the candidates must at least halve it in the median."""
    few, many = ([root_mean_square(nsn(n, 9, seed), "relax") for seed in range(7)] for n in (400, 1600))
    assert np.median(many) < np.median(few) / 2


def test_relax_uses_its_time_to_get_better() -> None:
    problem = nsn(400, 16, seed=3)
    assert solve(problem, "relax", time_limit=1.0).error < solve(problem, "relax").error
    assert solve(problem, "relax", time_limit=0.3).stats["restarts"] > 1
