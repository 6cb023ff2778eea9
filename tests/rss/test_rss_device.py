"""Batches on a torch device, exercised on torch's CPU: the compiled solvers' selections, memory, time, refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from instances import core, nsn, optimum, tiny_problems

from benchmarks.vertex import measure_batch, on_device
from slth.errors import InputError
from slth.rss import BatchSolution, Problem, error_upper_bound, exact_error, solve, solve_batch
from slth.rss.control import Control
from slth.rss.device import DEVICE_SOLVERS, backend, dive, joins, pursuit, relax
from slth.rss.device.backend import TorchDevice
from slth.rss.device.batch import KEEP_SIZE
from slth.rss.device.cells import Lists
from slth.rss.device.joins import instance_bytes, join_trees, plan_joins
from slth.rss.device.lists import nearest_batch
from slth.rss.device.relax import solve_relaxed
from slth.rss.device.vertex import round_vertices
from slth.rss.device.walk import close_gaps, walk_batch
from slth.rss.dive import dive as compiled_dive
from slth.rss.tree import plant, solve_tree
from slth.rss.tree_build import Tree, best_choices
from slth.rss.vertex import round_vertex

torch = pytest.importorskip("torch")
HERE = TorchDevice("cpu", 1e9)
TINY = tiny_problems()


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread() -> Iterator[None]:
    """Small operations gain nothing from several threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(count: int, n: int, dimension: int, *, reach: float = 1.0) -> dict[str, Any]:
    problems = [nsn(n, dimension, seed=seed, reach=reach) for seed in range(count)]
    return {"vectors": np.stack([p.vectors for p in problems]), "targets": np.stack([p.target for p in problems])}


def same(one: BatchSolution, other: BatchSolution) -> int:
    """How many of the selections are equal."""
    return int((one.selected == other.selected).all(axis=1).sum())


def check_errors(instances: dict[str, Any], found: BatchSolution) -> None:
    """Errors on the host are exact, wherever a selection was found."""
    for rows, goal, chosen, error in zip(*instances.values(), found.selected, found.error, strict=True):
        assert error == error_upper_bound(Problem(vectors=rows, target=goal), chosen)


@pytest.mark.parametrize("method", [*DEVICE_SOLVERS, "auto"])
@pytest.mark.parametrize("name", TINY)
def test_awkward_instances_against_brute_force(name: str, method: str) -> None:
    """Two of each, which must not disturb each other; where ties decide, other selections of the same error."""
    problem = TINY[name]
    vectors, targets = np.stack([problem.vectors] * 2), np.stack([problem.target] * 2)
    found = solve_batch(vectors=vectors, targets=targets, method=method, device="cpu")
    best = optimum(problem)
    for chosen, error, bound in zip(found.selected, found.error, found.lower_bound, strict=True):
        assert exact_error(problem, chosen) >= best >= bound
        assert error == error_upper_bound(problem, chosen)
    if method != "pursuit":  # whose compiled form flips pairs among other candidates
        alone = solve(problem, method)
        assert found.error.tolist() == [alone.error] * 2


@pytest.mark.parametrize("euclidean", [False, True])
@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(("dimension", "n", "effort"), [(1, 40, 2e-3), (3, 60, 2e-3), (4, 300, 2e-3), (9, 500, 0.01)])
def test_trees_of_a_batch_find_what_each_finds_alone(
    dimension: int, n: int, effort: float, counted: bool, euclidean: bool
) -> None:
    """Lists are integers and cells have the same seeds. Only a length within rounding of a limit could differ.

    Two trees are equal for certain up to such ties, and these seeds have none: nothing can fail by chance.
    """
    count = 6
    instances, size = batch(count, n, dimension), n // 2 if counted else None
    norm = "l2" if euclidean else "linf"
    options: dict[str, Any] = {"method": "tree", "effort": effort, "cardinality": size, "norm": norm, "seed": 3}
    there = solve_batch(**instances, **options, device="cpu")
    here = solve_batch(**instances, **options)
    assert same(here, there) == count
    assert there.error.tolist() == here.error.tolist()
    assert set(there.methods) == {"tree"}
    if counted:
        assert (there.selected.sum(axis=1) == size).all()


def planted(count: int, n: int, dimension: int, effort: float) -> list[Tree]:
    trees = [plant(nsn(n, dimension, seed=seed), effort * 1e7, Control()) for seed in range(count)]
    return [tree for tree in trees if tree is not None]


def test_trees_are_joined_in_parts_that_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether all at once, in twos, or one by one with few pairs at a time: the choices are those of one tree."""
    trees = planted(5, 300, 4, 0.002)
    control = Control()
    alone = [best_choices(tree, 7, control, euclidean=False) for tree in trees]
    sizes: list[int] = []
    made = joins._Joins.__init__

    def count(self: Any, members: list[Tree], *rest: Any) -> None:
        sizes.append(len(members))
        made(self, members, *rest)

    monkeypatch.setattr(joins._Joins, "__init__", count)
    need = max(map(instance_bytes, trees))
    for memory, most in ((1e9, 5), (2.1 * need / 0.75, 2), (1.0, 1)):
        sizes.clear()
        found = join_trees(trees, 7, control, TorchDevice("cpu", memory), euclidean=False)
        assert max(sizes) <= most
        assert sum(sizes) == len(trees)
        for mine, theirs in zip(found, alone, strict=True):
            assert len(mine) == len(theirs) > 0
            assert all((a == b).all() for a, b in zip(mine, theirs, strict=True))


def test_where_no_pair_shares_a_cell_cells_grow_as_in_one_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small lists that must reach a count as well: of 30 trees some find no pair in the first cells."""
    control = Control()
    found = (plant(nsn(64, 6, seed=seed, cardinality=32), 200, control) for seed in range(30))
    trees = [tree for tree in found if tree is not None]
    looked_at = set()

    def note(a: Lists, b: Lists, tested: float, *rest: Any, **more: Any) -> np.ndarray:
        looked_at.add(tested)
        return nearest_batch(a, b, tested, *rest, **more)

    monkeypatch.setattr(joins, "nearest_batch", note)
    together = join_trees(trees, 7, control, HERE, euclidean=False)
    assert len(looked_at) > 1
    for tree, mine in zip(trees, together, strict=True):
        alone = best_choices(tree, 7, control, euclidean=False)
        assert len(mine) == len(alone)
        assert all((a == b).all() for a, b in zip(mine, alone, strict=True))


@pytest.mark.parametrize("packing", [7 / 8, 0.0])
def test_dives_in_float64_are_those_of_the_compiled_code(packing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether matrices shrink, or entries leave them 32 at a time. In float64 no two entries are within rounding."""
    monkeypatch.setattr(dive, "PACKING", packing)
    count, entries, dimension = 5, 90, 60
    rows = np.stack([core(dimension, entries, seed) for seed in range(count)])
    rng = np.random.default_rng(1)
    x, residual = rng.uniform(0.02, 0.98, (count, entries)), rng.normal(size=(count, dimension))
    lengths = np.linalg.norm(rows, axis=2)
    unit, ends = rows / lengths[:, :, None], torch.tensor(x)
    live = torch.ones((count, entries), dtype=torch.bool)
    live[-1, 50:] = False  # fewer entries are fractional in the last one
    ends[-1, 50:] = 0.0
    padded = torch.tensor(unit) * live[:, :, None]
    dive.dive_batch(padded, torch.tensor(lengths), ends, live, torch.tensor(residual))
    for i in range(count):
        size = 50 if i == count - 1 else entries
        alone = x[i, :size].copy()
        compiled_dive(unit[i, :size].copy(), lengths[i, :size], alone, residual[i])
        assert ends[i, :size].tolist() == alone.tolist()


def test_a_schedule_joins_every_list_once_and_few_are_alive() -> None:
    (tree,) = planted(1, 300, 4, 0.002)
    plan, shape = plan_joins(tree.shape), tree.shape
    assert shape.lists > 10
    used = [child for pair in plan.children for child in pair]
    assert sorted(used) == list(range(shape.lists + len(plan.nodes)))
    # The root needs no list of its own.
    assert plan.width in (shape.depth(shape.lists + len(shape.children) - 1) - i for i in range(2))
    for left, right, own in plan.slots:
        assert len({left, right, own}) == 3


def test_nothing_is_joined_after_the_deadline() -> None:
    trees = planted(2, 300, 4, 0.002)
    assert join_trees(trees, 7, Control(deadline=time.monotonic()), HERE, euclidean=False) == [[], []]


@pytest.mark.parametrize(
    ("dimension", "count", "equal"), [(1, 20, 20), (2, 20, 20), (4, 30, 30), (9, 30, 28), (36, 10, 7)]
)
def test_walks_and_dives_of_a_batch_end_where_each_ends_alone(dimension: int, count: int, equal: int) -> None:
    """In float32 two entries may reach a bound within rounding of each other; then the rest of the way differs.

    Seeds are fixed. The shares leave room for another order of additions in another BLAS.
    """
    m = 4 * dimension
    rows = np.stack([core(dimension, m, seed) for seed in range(count)])
    goals = np.einsum("bm,bmd->bd", np.random.default_rng(dimension).uniform(0.3, 0.7, (count, m)), rows)
    x = torch.full((count, m), 0.5, dtype=torch.float64)
    residual = round_vertices(torch.tensor(rows), torch.tensor(goals), x).numpy()
    ends = x.numpy()
    assert np.isin(ends, (0.0, 1.0)).all()
    assert np.allclose(residual, goals - np.einsum("bm,bmd->bd", ends, rows), rtol=0, atol=1e-9 * m)
    alone = np.full((count, m), 0.5)
    for i in range(count):
        round_vertex(rows[i], goals[i], alone[i])
    assert (ends == alone).all(axis=1).sum() >= equal


@pytest.mark.parametrize(("dimension", "n", "reach", "equal"), [(1, 50, 1.0, 10), (4, 300, 1.0, 10), (9, 1000, 30.0, 9),
                                                                (9, 4000, 1.0, 9), (16, 300, 1.0, 8)])  # fmt: skip
def test_relaxed_batches_are_those_of_the_cores(dimension: int, n: int, reach: float, equal: int) -> None:
    """All candidates and a thinned sample; of ten, as many as rounding may spare."""
    instances = batch(10, n, dimension, reach=reach)
    there, here = (solve_batch(**instances, method="relax", device=device) for device in ("cpu", None))
    assert same(there, here) >= equal
    check_errors(instances, there)


def test_errors_in_many_dimensions_are_those_of_the_cores() -> None:
    """At D = 144 selections differ and errors do not: root mean squares of 8 · 144 coordinates.

    The seeds are fixed. Between independent solutions the ratio has a standard deviation of about 0.05.
    """
    instances = batch(8, 1440, 144)
    squares = []
    for device in ("cpu", None):
        found = solve_batch(**instances, method="relax", device=device)
        left = np.einsum("bn,bnd->bd", found.selected, instances["vectors"]) - instances["targets"]
        squares.append(np.sqrt(np.square(left).mean()))
    assert 0.8 < squares[0] / squares[1] < 1.25


def test_nearly_dependent_coordinates_walk_again_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinate that is nearly the sum of two others: float32 loses the sum of a walk, and float64 keeps it."""
    rows = np.stack([core(12, 48, seed) for seed in range(4)])
    rows[:, :, -1] = rows[:, :, 0] + rows[:, :, 1] + 1e-4 * rows[:, :, -1]
    goals = np.einsum("bm,bmd->bd", np.random.default_rng(0).uniform(0.3, 0.7, (4, 48)), rows)
    x = torch.full((4, 48), 0.5, dtype=torch.float64)
    kinds = []

    def count(scaled: Any, *rest: Any) -> None:
        kinds.append(scaled.dtype)
        walk_batch(scaled, *rest)

    monkeypatch.setattr("slth.rss.device.vertex.walk_batch", count)
    residual = round_vertices(torch.tensor(rows), torch.tensor(goals), x).numpy()
    alone = np.stack([round_vertex(rows[i], goals[i], np.full(48, 0.5)) for i in range(4)])
    assert kinds == [torch.float32] + 4 * [torch.float64]
    assert np.isin(x.numpy(), (0.0, 1.0)).all()
    assert np.sqrt(np.square(residual).mean()) < 2 * np.sqrt(np.square(alone).mean())


def test_gaps_are_filled_from_the_end() -> None:
    """Beside a list from which the entries are taken in falling order of their places."""
    rng = np.random.default_rng(5)
    for _ in range(50):
        count = int(rng.integers(1, 20))
        order = rng.permutation(count)  # the entry at each place
        places, packed = np.argsort(order), order.tolist()
        hits = rng.choice(count, int(rng.integers(0, count + 1)), replace=False)
        for place in sorted((int(places[hit]) for hit in hits), reverse=True):
            last = packed.pop()
            if place < len(packed):
                packed[place] = last
        assert close_gaps(places, count, hits) == len(packed)
        assert [int(np.flatnonzero(places == k)[0]) for k in range(len(packed))] == packed


@pytest.mark.parametrize("method", ["relax", "pursuit"])
def test_small_memory_cuts_the_batch_and_changes_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    instances = batch(6, 200, 5)
    whole = solve_batch(**instances, method=method, device="cpu", max_memory=1e9)
    stacked: list[int] = []
    stack = pursuit.stack

    def count(problems: list[Problem], device: TorchDevice) -> object:
        stacked.append(len(problems))
        return stack(problems, device)

    monkeypatch.setattr(pursuit, "stack", count)
    monkeypatch.setattr(relax, "stack", count)
    parts = solve_batch(**instances, method=method, device="cpu", max_memory=1e5)
    assert same(whole, parts) == 6
    assert sum(stacked) == 6
    assert max(stacked) < 6


def test_zero_vectors_and_other_sizes_stand_side_by_side() -> None:
    """Instances of one batch may have cores of different sizes."""
    problems = [nsn(n, 3, seed=n) for n in (5, 9, 40, 200)]
    holes = problems[2].vectors.copy()
    holes[::2] = 0.0
    problems.append(Problem(vectors=holes, target=problems[2].target))
    found = solve_relaxed(problems, [Control()] * 5, HERE, 1)
    for problem, one in zip(problems, found, strict=True):
        assert (one.selected == solve(problem, "relax").selected).all()
    assert not found[4].selected[::2].any()


@pytest.mark.parametrize("method", DEVICE_SOLVERS)
def test_a_time_limit_is_kept_and_used(method: str) -> None:
    instances = batch(8, 400, 6)
    solve_batch(**instances, method=method, device="cpu", time_limit=0.01)  # code is loaded
    first = solve_batch(**instances, method="relax", device="cpu")  # what a tree and restarts begin with
    began = time.monotonic()
    found = solve_batch(**instances, method=method, device="cpu", time_limit=1.0)
    seconds = time.monotonic() - began
    assert seconds < 1.2 * 1.0 + 0.5 + 1.0  # a second more for a busy machine
    check_errors(instances, found)
    if method != "pursuit":  # which ends by itself
        assert np.median(found.error) < 0.8 * np.median(first.error)


def test_an_error_that_is_good_enough_ends_the_search() -> None:
    instances = batch(4, 300, 4)
    for method in ("tree", "relax"):
        began = time.monotonic()
        found = solve_batch(**instances, method=method, device="cpu", time_limit=60.0, eps=0.5)
        assert time.monotonic() - began < 20.0
        assert {one.name for one in found.status} == {"feasible"}
    # Without a time limit a tree grows until it reaches eps.
    assert (solve_batch(**instances, method="tree", device="cpu", eps=1e-4).error <= 1e-4).all()
    alone = solve_tree(nsn(300, 4, seed=0), Control(eps=1e-4))
    assert (solve_batch(**instances, method="tree", device="cpu", eps=1e-4).selected[0] == alone.selected).all()


def test_auto_sends_to_the_device_what_it_can_do() -> None:
    """Small instances are proved on the cores; the others are those of ``auto`` without a device."""
    for n, dimension, expected in ((12, 2, "exact"), (300, 4, "tree"), (300, 30, "relax")):
        instances = batch(3, n, dimension)
        there, here = (solve_batch(**instances, device=device) for device in ("cpu", None))
        assert there.methods == here.methods == (expected,) * 3
        assert same(there, here) == 3
    sized = solve_batch(**batch(3, 300, 30), cardinality=150, device="cpu")
    assert (sized.selected.sum(axis=1) == 150).all()


def test_pursuits_end_where_no_flip_and_no_pair_of_small_candidates_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every instance of the batch for itself, whether or not others still move; the batch in parts or whole."""
    instances = batch(7, 120, 5)
    whole = solve_batch(**instances, method="pursuit", device="cpu").selected
    monkeypatch.setattr(pursuit, "PAIR_BATCH", 3)
    monkeypatch.setattr(pursuit, "PAIR_SIZE", 40)
    parts = solve_batch(**instances, method="pursuit", device="cpu").selected
    for selections, size in ((whole, 256), (parts, 40)):
        for rows, goal, selected in zip(*instances.values(), selections, strict=True):
            change = np.where(selected, -1.0, 1.0)[:, None] * rows
            residual = goal - selected @ rows
            small = np.argsort(np.square(rows).sum(axis=1), kind="stable")[:size]
            first, second = np.triu_indices(len(small), 1)
            pairs = residual - change[small][first] - change[small][second]
            after = np.square(np.vstack([residual - change[small], pairs])).sum(axis=1)
            assert after.min() >= (residual @ residual) * (1 - 1e-9)


def test_the_benchmark_times_batches_and_says_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    row = measure_batch(8, 80, 3, "cpu")
    assert row["instances"] == 3
    assert row["seconds_each"] > 0
    assert 0.05 < row["error_constant"] < 2.0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert on_device(True, "cuda") == "no GPU here"


@pytest.mark.parametrize("method", DEVICE_SOLVERS)
def test_a_gpu_finds_what_the_cpu_finds(method: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: the torch code was exercised on the CPU only")
    instances = batch(16, 400, 9)
    there, here = (solve_batch(**instances, method=method, device=device) for device in ("cuda", "cpu"))
    assert same(there, here) >= 12
    check_errors(instances, there)


def test_what_a_device_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    instances = batch(2, 20, 2)
    with pytest.raises(InputError, match="device must be one torch can use"):
        solve_batch(**instances, device="nosuchdevice")
    with pytest.raises(InputError, match=r"form for it: tree, relax, pursuit or auto; got 'exact'\. Choose one"):
        solve_batch(**instances, method="exact", device="cpu")
    for method in set(DEVICE_SOLVERS) - set(KEEP_SIZE):
        with pytest.raises(InputError, match=f"{method} takes selections of any size; got cardinality = 3. Use tree"):
            solve_batch(**instances, cardinality=3, method=method, device="cpu")

    def missing(name: str) -> object:
        raise ImportError(name)

    backend.load_torch.cache_clear()
    monkeypatch.setattr(backend, "import_module", missing)
    with pytest.raises(InputError, match="device needs torch; it is not installed"):
        solve_batch(**instances, device="cpu")
    backend.load_torch.cache_clear()
