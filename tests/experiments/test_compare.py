"""The contest: every method through one signature, what is measured of it, and what its rows say."""

from __future__ import annotations

import dataclasses
import json

import pytest
import safetensors.torch
import torch

from benchmarks import claims
from slth import data
from slth.baselines.training import accuracy
from slth.cli import app as cli
from slth.errors import DataError, InputError
from slth.experiments.analysis.intervals import format_interval, interval, paired_difference
from slth.experiments.analysis.published import PUBLISHED, published_accuracy
from slth.experiments.contest import images, methods, solo
from slth.experiments.contest.contestant import Contestant, prepare
from slth.experiments.contest.images import training_data
from slth.experiments.contest.judge import run
from slth.experiments.contest.methods import METHODS
from slth.experiments.engine.study import Row
from slth.experiments.studies import diet, planted
from slth.experiments.studies.compare_sections import by_method, curves, sections, values
from slth.progress import Lines
from slth.theory import REFERENCES

STRONG = {"edge-popup", "gates", "gem-miner", "dro-ensemble", "plain-ensemble", "subset-sum"}
SMALL = {"arch": "digits", "data": "digits", "examples": 200, "validation": 100, "test": 100, "epochs": 2}


def contestant(method: str, **more) -> Contestant:
    options = {"subset-sum": {"width": 60}}.get(method, {})
    return Contestant(method=method, **{**SMALL, "density": 0.4, "options": options, **more})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_an_outcome_that_is_measured(method):
    point = contestant(method, finetune=1)
    result = run(point, 1)
    json.dumps(result)
    assert 0 < result["kept"] <= result["total"]
    assert result["density"] == result["kept"] / result["total"]
    assert set(result["stages"]["found"]) >= {"accuracy", "nll", "brier", "ece", "ece_mass", "reliability"}
    assert 0 <= result["stages"]["found"]["accuracy"] <= 1
    assert result["untouched"] == (method in STRONG or result["epochs"] == 0)
    if method not in ("dense", "gates", "gem-miner", "subset-sum", "filters", "dro-ensemble", "plain-ensemble"):
        assert result["density"] == pytest.approx(0.4, abs=5e-4)
    if method in ("dense", "subset-sum", "dro-ensemble", "plain-ensemble"):
        assert "tuned" not in result["stages"]
    else:
        assert "tuned" in result["stages"]


def test_a_fixed_seed_gives_the_same_numbers():
    one, again, other = (run(contestant("gates"), seed) for seed in (3, 3, 4))
    assert one["stages"] == again["stages"]
    assert one["kept"] == again["kept"]
    assert one["stages"] != other["stages"]


def test_train_validation_and_test_do_not_meet():
    train, held = training_data("digits", 500, 300)
    seen = {image.numpy().tobytes() for image in train.images}
    for other in (held, data.load("digits", "test")):
        assert not any(image.numpy().tobytes() in seen for image in other.images)
    assert (len(train), len(held)) == (500, 300)
    assert training_data("digits", None, 0)[1] is None


def test_data_that_cannot_be_tested_on_is_refused_before_any_work(monkeypatch):
    """A folder with one pair of files serves as both splits; a class that training has not seen cannot be told."""
    whole = data.load("digits", "train")
    splits = {"train": whole, "test": whole}
    monkeypatch.setattr(data, "load", lambda name, split: splits[split])
    with pytest.raises(InputError, match="one split"):
        training_data("one pair", None, 100)
    splits["test"] = data.load("", "test")[:50]
    splits["train"] = whole[whole.labels < 9]
    with pytest.raises(InputError, match="every class of the test images"):
        training_data("without nines", None, 100)
    splits["train"] = splits["test"] = whole[whole.labels == 3]
    splits["test"] = splits["test"][:20]
    with pytest.raises(InputError, match="two classes"):
        training_data("threes", None, 20)


def test_all_methods_of_a_seed_start_from_the_same_architecture():
    job = prepare(contestant("dense"), 5)
    first, second = (torch.nn.utils.parameters_to_vector(job.model().parameters()) for _ in range(2))
    assert torch.equal(first, second)
    other = torch.nn.utils.parameters_to_vector(prepare(contestant("dense"), 6).model().parameters())
    assert not torch.equal(first, other)


def test_sanity_checks_are_fine_tuned_too():
    result = run(contestant("gem-miner", finetune=1, sanity=True), 0)
    assert list(result["stages"]) == ["found", "tuned", "shuffled", "redrawn", "smart"]


def test_iterative_pruning_tells_of_its_levels_and_shares_epochs():
    result = run(contestant("imp", options={"fraction": 0.5, "rewind": 2}, density=0.25), 0)
    assert [density for density, _ in result["levels"]] == [1.0, 0.5, 0.25]
    shared = run(contestant("imp", options={"fraction": 0.5, "total": True}, density=0.25, epochs=3), 0)
    assert shared["epochs"] == 2  # two levels before the last, one epoch each
    assert shared["tuned_epochs"] == 1  # the last one, which no axis of costs leaves out
    assert result["levels"][-1][1] == result["stages"]["tuned"]["accuracy"]


def test_unknown_inputs_and_corruptions_are_measured():
    stage = run(contestant("dense", unknown="digits", corrupted=2), 0)["stages"]["found"]
    assert set(stage["corrupted"]) == {"rotation", "noise", "blur", "contrast"}
    # the "unknown" inputs here are the known ones and more of the same: no better than chance
    assert stage["auroc"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"method": "edgepopup"}, "method"),
        ({"density": 0}, "density"),
        ({"density": 1.5}, "density"),
        ({"epochs": 0}, "epochs"),
        ({"corrupted": 6}, "corrupted"),
        ({"colour": 1}, "colour"),
        ({"sanity": True}, "sanity"),
    ],
)
def test_points_are_checked(change, match):
    with pytest.raises(ValueError, match=match):
        Contestant(**{"method": "dense", **change})


def test_options_and_recipes_are_checked():
    with pytest.raises(InputError, match="did you mean 'learning_rate'"):
        run(contestant("dense", recipe={"learningrate": 1}), 0)
    with pytest.raises(InputError, match="did you mean 'rewind'"):
        run(contestant("imp", options={"rewinds": 1}), 0)
    with pytest.raises(InputError, match="did you mean 'structure'"):
        run(contestant("gates", options={"structur": "filter"}), 0)


# --- one run in a folder


def test_a_run_is_written_once_and_read_after_that(tmp_path, monkeypatch):
    point = contestant("edge-popup")
    stored = solo.run_one(point, 0, tmp_path / "run", progress=False)
    assert {one.name for one in (tmp_path / "run").iterdir()} >= {
        "result.json",
        "ticket.safetensors",
        "masks.safetensors",
    }
    masks = safetensors.torch.load_file(tmp_path / "run" / "masks.safetensors")
    assert sum(int(mask.sum()) for mask in masks.values()) == stored["result"]["kept"]
    outcome = METHODS["edge-popup"](prepare(point, 0))
    outcome.network.load_state_dict(safetensors.torch.load_file(tmp_path / "run" / "ticket.safetensors"))
    test = images.test_data("digits", 100)
    assert accuracy(outcome.network, test) == stored["result"]["stages"]["found"]["accuracy"]
    monkeypatch.setitem(METHODS, "edge-popup", lambda job: pytest.fail("it was run again"))
    lines = []
    assert solo.run_one(point, 0, tmp_path / "run", progress=Lines(lines.append)) == stored
    assert "already there" in lines[0]
    with pytest.raises(InputError, match="another density"):
        solo.run_one(point.model_copy(update={"density": 0.3}), 0, tmp_path / "run", progress=Lines(lines.append))
    with pytest.raises(InputError, match="another seed"):
        solo.run_one(point, 1, tmp_path / "run", progress=Lines(lines.append))
    (tmp_path / "run" / "result.json").write_text("{}")
    with pytest.raises(InputError, match="not a result"):
        solo.run_one(point, 0, tmp_path / "run", progress=Lines(lines.append))


def test_an_interrupted_search_goes_on(tmp_path):
    class Stop(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("epoch 2"):
            raise Stop

    point = contestant("edge-popup", epochs=4)
    whole = run(point, 0)
    with pytest.raises(Stop):
        solo.run_one(point, 0, tmp_path, progress=Lines(stop))
    assert not (tmp_path / "result.json").exists()
    # its checkpoint fits a ticket of any density, and is not taken for one
    for other in ({"density": 0.2}, {"options": {"scale_fan": True}}):
        with pytest.raises(InputError, match=f"another {next(iter(other))}"):
            solo.run_one(point.model_copy(update=other), 0, tmp_path, progress=Lines(stop))
    lines = []
    stored = solo.run_one(point, 0, tmp_path, progress=Lines(lines.append))
    assert any("goes on" in line for line in lines)
    assert stored["result"]["stages"] == whole["stages"]


def test_a_run_that_never_began_can_be_corrected_in_its_folder(tmp_path):
    with pytest.raises(InputError, match="penalty"):
        solo.run_one(contestant("gates", options={"penalty": -1}), 0, tmp_path, progress=False)
    assert solo.run_one(contestant("gates", options={"penalty": 1}), 0, tmp_path, progress=False)


def slth(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["slth", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_the_command_line_trains_and_says_what_came(tmp_path, monkeypatch, capsys):
    words = ("train", "edge-popup", "--arch", "digits", "--data", "digits", "--density", "0.5", "--epochs", "1",
             "--examples", "200", "--out", str(tmp_path / "run"))  # fmt: skip
    code, out, _ = slth(monkeypatch, capsys, *words)
    assert code == 0
    assert "untouched" in out
    assert "as found" in out
    code, out, _ = slth(monkeypatch, capsys, *words, "--json")
    assert code == 0
    assert json.loads(out)["point"]["density"] == 0.5
    code, out, _ = slth(monkeypatch, capsys, "train", "list")
    assert code == 0
    assert all(name in out for name in METHODS)
    assert set(methods.summaries()) == set(METHODS)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("train", "edgepopup", "--out", "x"), "slth train list"),
        (("train", "dense"), "--out"),
        (("train", "dense", "--density", "0", "--out", "x"), "--density"),
        (("train", "dense", "--data", "nowhere", "--out", "x"), "nowhere"),
        (("train", "dense", "--option", "width", "--out", "x"), "name=value"),
        (("train", "dense", "--arch", "lenet5", "--data", "digits", "--out", "x"), "side"),
        (("train", "gem-miner", "--arch", "digits", "--data", "digits", "--option", "penalty=-1", "--out", "x"),
         "penalty"),
        (("train", "dense", "--arch", "digits", "--data", "digits", "--device", "tpu", "--out", "x"), "device"),
        *(
            (("train", method, "--arch", "digits", "--data", "digits", *more, "--out", "x"), match)
            for method, *more, match in (
                ("gem-miner", "--epochs", "1", "epochs"),
                ("gem-miner", "--sanity", "finetune"),
                ("snip", "--sanity", "--finetune", "1", "gem-miner"),
                ("snip", "--recipe", "batch=3", "--tune"),
                ("dense", "--option", "width=3", "width"),
                ("dense", "--recipe", "milestones=5", "milestones"),
                ("dense", "--unknown", "nowhere", "nowhere"),
                ("dense", "--tensorboard", __file__, "TensorBoard"),
                ("dense", "--recipe", "learning_rate=1e30", "--recipe", "optimiser=sgd", "Lower the learning rate"),
                ("filters", "--option", "ratio=x", "ratio"),
                ("dro-ensemble", "--option", "lams=5", "lams"),
                ("dro-ensemble", "--option", "lams=[0]", "lam"),
                ("subset-sum", "--option", "seed=3", "seed"),
            )
        ),
        (("compare", "width", "--out", "x"), "slth study run"),
        (("compare", "nowhere.toml", "--out", "x"), "nowhere.toml"),
    ],
)  # fmt: skip
def test_mistakes_are_one_clear_line(tmp_path, monkeypatch, capsys, words, match):
    monkeypatch.chdir(tmp_path)
    code, _, err = slth(monkeypatch, capsys, *words)
    assert code == 1
    assert match in err
    assert err.count("\n") == 1
    assert not (tmp_path / "x" / "result.json").exists()


def test_missing_data_is_said_before_any_work():
    with pytest.raises(DataError, match="nowhere"):
        run(contestant("dense", data="nowhere"), 0)


# --- what the rows say


def row(
    method: str, seed: int, *, density: float = 0.05, options=None, finetune: int = 5, levels=None, **stages
) -> Row:
    """A row with these stages: name → accuracy, or a mapping of measures."""
    point = contestant(method, density=density, options=options or {}, finetune=finetune).model_dump(mode="json")
    full = {
        name: {"accuracy": value, "ece": 0.1, "nll": 0.5, "auroc": 0.8} if isinstance(value, float) else value
        for name, value in stages.items()
    }
    result = {
        "density": density, "kept": 5, "total": 100, "untouched": True, "epochs": 2.0, "seconds": 1.0, "notes": {},
        "stages": full, **({"levels": levels} if levels else {}),
    }  # fmt: skip
    return Row(
        key=f"{method}{seed}{density}{options}", study="compare", point=point, seed=seed, status="done", result=result
    )


def test_rows_are_grouped_by_method_options_and_density():
    rows = [
        row("gates", seed, options=options, found=0.9) for seed in (1, 0) for options in ({}, {"structure": "filter"})
    ]
    groups = by_method(rows)
    assert set(groups) == {("gates", 0.05), ("gates (structure filter)", 0.05)}
    assert [len(mine) for mine in groups.values()] == [2, 2]
    longer = [dataclasses.replace(one, point={**one.point, "epochs": 9}) for one in rows[:1]]
    assert set(by_method(rows + longer)) == {
        ("gates, epochs 2", 0.05), ("gates, epochs 9", 0.05), ("gates (structure filter)", 0.05)
    }  # fmt: skip


def test_values_come_in_the_order_of_seeds_and_leave_failures_out():
    rows = [row("imp", seed, found=0.5 + seed / 10) for seed in (2, 0, 1)]
    assert values(rows, "found", "accuracy") == [0.5, 0.6, 0.7]
    assert values([row("imp", 0, found={"error": "layer collapse"})], "found", "accuracy") == []


def test_curves_use_levels_where_there_are_any():
    rows = [row("imp", seed, levels=[[1.0, 0.9], [0.5, 0.8 + seed / 10]], found=0.1, tuned=0.7) for seed in (0, 1)]
    assert {d: mean for d, (mean, _, _) in curves(rows, "tuned")["imp"].items()} == pytest.approx({1.0: 0.9, 0.5: 0.85})
    assert list(curves(rows, "found")["imp"]) == [0.05]


def test_sections_come_of_any_rows():
    rows = [
        row("gem-miner", s, found=0.7, tuned=0.9, shuffled=0.6, redrawn={"error": "layer collapse"}) for s in (0, 1)
    ]
    rows += [row("dense", 0, density=1.0, found=0.95)]
    for some in (rows, rows[:1], rows[-1:]):
        found = sections(some)
        assert found
        assert all(section.rows or section.figure is not None for section in found)
    text = str([section.rows for section in sections(rows)])
    assert "layer collapse" in text
    assert "90.00 %" in text


def test_published_figures_stand_beside_ours_where_the_setting_is_the_same():
    def shown(**change) -> list:
        mine = row("gem-miner", 0, density=0.0059, found=0.4, tuned=0.6)
        mine = dataclasses.replace(mine, point={**mine.point, "arch": "resnet20", "data": "cifar10", **change})
        return [section for section in sections([mine]) if "published" in section.title]

    assert [line[3] for line in shown()[0].rows] == ["45.30 %", "66.15 %"]
    assert shown(data="digits") == []
    assert published_accuracy("resnet20", "cifar10", "imp", "tuned", 0.512).accuracy == 1 - 0.0810
    assert published_accuracy("resnet20", "cifar10", "gem-miner", "tuned", 0.02) is None
    assert all(one.source in REFERENCES for one in PUBLISHED)


def test_intervals_are_those_of_the_bootstrap():
    """All 27 resamples of three values: the 2.5 % and 97.5 % quantiles of their means are the extremes."""
    assert interval([0.1, 0.2, 0.6]) == pytest.approx((0.3, 0.1, 0.6))
    assert interval([0.4]) == (0.4, 0.4, 0.4)
    assert interval([0.4, 0.4]) == (0.4, 0.4, 0.4)
    mean, low, high = interval(list(torch.randn(400, generator=torch.Generator().manual_seed(0)).numpy()))
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert low < mean < high
    assert paired_difference([0.5, 0.7], [0.4, 0.6]) == pytest.approx((0.1, 0.1, 0.1))
    assert format_interval((0.5, 0.4, 0.6)) == "50.00 [40.00, 60.00] %"
    assert format_interval((2.0, 2.0, 2.0), percent=False, digits=1) == "2.0"


# --- verdicts on claims


def test_a_claim_holds_fails_or_is_left_open_by_the_rows_alone():
    seeds = (0, 1, 2)
    gem = [row("gem-miner", s, found=0.90 + s / 100, tuned=0.95) for s in seeds]
    weak = [row("edge-popup", s, found=0.70 + s / 100, tuned=0.95) for s in seeds]
    before, after = claims.gem_miner_wins("task", gem + weak)
    assert (before.holds, after.holds) == (True, None)
    assert "before" in before.claim
    strong = [row("edge-popup", s, found=0.99, tuned=0.99) for s in seeds]
    assert [one.holds for one in claims.gem_miner_wins("task", gem + strong)] == [False, False]
    assert claims.gem_miner_wins("task", gem) == []


def test_edge_popup_must_reach_ninety_five_with_its_whole_interval():
    def verdict(*scores: float) -> bool | None:
        rows = [row("edge-popup", s, density=0.5, found=score) for s, score in enumerate(scores)]
        return claims.edge_popup_finds("task", rows)[0].holds

    assert verdict(0.96, 0.97, 0.98) is True
    assert verdict(0.94, 0.97, 0.98) is False


def test_gates_are_sparser_when_they_reach_each_accuracy_earlier():
    def curve(method: str, *points: tuple[float, float], seeds=(0, 1), **more) -> list[Row]:
        return [row(method, s, density=d, found=a + s / 1000, **more) for d, a in points for s in seeds]

    popup = curve("edge-popup", (0.1, 0.8), (0.5, 0.9))
    gates = curve("gates", (0.05, 0.85), (0.2, 0.95))
    assert claims.gates_are_sparser("task", popup + gates)[0].holds is True
    late = curve("gates", (0.2, 0.85), (0.6, 0.95))
    assert claims.gates_are_sparser("task", popup + late)[0].holds is False
    assert claims.gates_are_sparser("task", popup + curve("gates", (0.05, 0.85)))[0].holds is None
    # a mean above is not enough where the intervals overlap, one seed has none, another budget says nothing
    near = [row("gates", s, density=0.05, found=a) for s, a in enumerate((0.79, 0.9))]
    assert claims.gates_are_sparser("task", popup[:2] + near)[0].holds is None
    alone = curve("edge-popup", (0.1, 0.8), seeds=(0,)) + curve("gates", (0.05, 0.9), seeds=(0,))
    assert claims.gates_are_sparser("task", alone)[0].holds is None
    longer = [dataclasses.replace(one, point={**one.point, "epochs": 9}) for one in gates]
    assert claims.gates_are_sparser("task", popup + longer) == []


def test_iterative_pruning_matches_then_fails():
    levels = [[1.0, 0.95], [0.5, 0.949], [0.1, 0.90]]
    one = claims.imp_matches("task", [row("imp", s, levels=levels, found=0.1, tuned=0.9) for s in (0, 1)])[0]
    assert one.holds is True
    assert "down to 0.5" in one.evidence

    def verdict(*accuracies: float) -> bool | None:
        mine = [[1.0, 0.95], *zip((0.5, 0.1), accuracies, strict=True)]
        rows = [row("imp", s, levels=mine, found=0.1, tuned=0.9) for s in (0, 1)]
        return claims.imp_matches("task", rows)[0].holds

    assert verdict(0.949, 0.949) is None  # never failed: not sparse enough to tell
    assert verdict(0.90, 0.95) is False  # fails first: what comes after is no match
    assert claims.imp_matches("task", [row("imp", 0, levels=levels, found=0.1, tuned=0.9)])[0].holds is None


def test_ways_of_iterative_pruning_are_not_pooled():
    ways = ({"rewind": 0}, {"rewind": 0, "total": True}, {"rewind": 80})
    rows = [
        row("imp", s, options=options, levels=[[1.0, 0.9], [0.1, 0.9 - way / 10]], found=0.1, tuned=0.9 - way / 10)
        for way, options in enumerate(ways)
        for s in (0, 1)
    ]
    found = {one.claim.partition(" matches")[0]: one.evidence for one in claims.imp_matches("task", rows)}
    assert list(found) == ["imp (rewind 0)", "imp (rewind 0, total True)", "imp (rewind 80)"]
    assert [text.rsplit(": ")[1] for text in found.values()] == ["0.00 %", "-10.00 %", "-20.00 %"]
    (one,) = claims.rewinding_helps("task", rows)
    assert one.holds is False
    assert "-20.00 %" in one.evidence


def test_one_seed_and_a_seed_that_failed_decide_nothing():
    gem = [row("gem-miner", s, found=0.9, tuned=0.95) for s in (0, 1)]
    popup = [row("edge-popup", s, found=0.7, tuned=0.7) for s in (0, 1)]
    assert [one.holds for one in claims.gem_miner_wins("task", gem + popup)] == [True, True]
    assert [one.holds for one in claims.gem_miner_wins("task", [gem[0], popup[0]])] == [None, None]
    fell = [gem[0], row("gem-miner", 1, found=0.9, tuned={"error": "layer collapse"})]
    assert [one.holds for one in claims.gem_miner_wins("task", fell + popup)] == [True, None]
    # each half of the pairs is there, but never both of one seed
    odd = [row("gem-miner", 0, found=0.9, tuned=0.9), row("gem-miner", 1, found=0.9, shuffled=0.1)]
    assert claims.sanity_matters("task", odd) == []


def test_sanity_is_paired_over_seeds():
    scores = [(s, {"tuned": 0.9 + s / 50, "shuffled": 0.88 + s / 50, "redrawn": 0.92}) for s in (0, 1, 2)]
    rows = [row("gem-miner", seed, found=0.5, **stages) for seed, stages in scores]
    found = {one.claim.rsplit("than ", 1)[1]: one.holds for one in claims.sanity_matters("task", rows)}
    assert found == {"its mask shuffled": True, "its weights redrawn": None}


def test_ensembles_are_judged_by_each_measure():
    def make(method: str, ece: float) -> list[Row]:
        found = {"accuracy": 0.9, "ece": ece, "nll": 0.5, "auroc": 0.8}
        return [row(method, s, density=0.1, found=found) for s in (0, 1)]

    rows = make("dro-ensemble", 0.05) + make("plain-ensemble", 0.1)
    found = {one.claim: one.holds for one in claims.ensembles_calibrate("task", rows)}
    assert found["robust ensemble has better ECE than plain-ensemble at density 0.1"] is True
    assert found["robust ensemble has better NLL than plain-ensemble at density 0.1"] is None
    assert found["robust ensemble is as accurate as plain-ensemble at density 0.1"] is True


# --- the other studies of trained tickets


@pytest.mark.parametrize(("kind", "size"), [("all", 0), ("easy", 40), ("random", 40)])
def test_a_diet_is_run_and_scored(kind, size):
    point = diet.Diet(kind=kind, size=size, rewind=3, density=0.25, epochs=2, score_steps=2, **{
        name: value for name, value in SMALL.items() if name != "epochs"
    })  # fmt: skip
    result = diet.run(point, 0)
    assert [density for density, _ in result["levels"]] == [1.0, 0.5, 0.25]
    assert 0 <= result["own_connected"] <= 1
    assert result["connected"] == (result["barrier"] < 0.02)


def test_a_diet_without_size_is_refused():
    with pytest.raises(ValueError, match="size"):
        diet.Diet(kind="easy", size=0)


def test_the_verdict_on_diets_is_that_of_the_paired_intervals():
    def make(kind: str, size: int, *scores: float) -> list[Row]:
        point = diet.Diet(kind=kind, size=size, rewind=5).model_dump(mode="json")
        return [
            Row(key=f"{kind}{seed}", study="diet", point=point, seed=seed, status="done",
                result={"levels": [[1.0, 0.9], [0.05, score]], "barrier": 0.01, "connected": True,
                        "own_connected": 0.9})
            for seed, score in enumerate(scores)
        ]  # fmt: skip

    rows = make("all", 0, 0.9, 0.91) + make("easy", 64, 0.8, 0.82) + make("random", 64, 0.92, 0.9)
    text = diet.verdict(rows)
    assert "easy 64 against all: -9.50 [-10.00, -9.00] %, worse." in text
    assert "random 64 against all" in text
    assert "not told apart" in text
    assert diet.sections(rows)[0].rows
    assert diet.verdict(rows[:2]) == ""
    assert "one seed" in diet.verdict([rows[0], rows[2]])


def test_planted_tickets_are_looked_for():
    point = planted.Hidden(method="magnitude", width=16)
    result = planted.run(point, 0)
    assert 0 <= result["recall"] <= 1
    point = planted.Hidden(method="subset-sum", width=100, hidden=4, kept=10)
    result = planted.run(point, 0)
    assert result["error"] >= result["planted_error"]
    rows = [Row(key="1", study="planted", point=point.model_dump(mode="json"), seed=0, status="done", result=result)]
    assert planted.sections(rows)[0].rows
    with pytest.raises(ValueError, match="method"):
        planted.Hidden(method="divination")
