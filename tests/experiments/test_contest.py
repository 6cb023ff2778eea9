"""The contest: every method through one signature, what is measured of it, and one run in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from command_line import run as command
from contest_rows import contestant

from slth import data
from slth.baselines.training import accuracy
from slth.errors import DataError, InputError
from slth.experiments.contest import images, solo
from slth.experiments.contest.catalogue import SUMMARIES
from slth.experiments.contest.contestant import Contestant, prepare
from slth.experiments.contest.images import training_data
from slth.experiments.contest.judge import run
from slth.experiments.contest.methods import METHODS
from slth.experiments.engine.registry import load_study
from slth.experiments.engine.spec import load_spec
from slth.progress import Lines

STRONG = {"edge-popup", "gates", "gem-miner", "dro-ensemble", "plain-ensemble", "subset-sum"}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_an_outcome_that_is_measured(method: str) -> None:
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


def test_a_fixed_seed_gives_the_same_numbers() -> None:
    one, again, other = (run(contestant("gates"), seed) for seed in (3, 3, 4))
    assert one["stages"] == again["stages"]
    assert one["kept"] == again["kept"]
    assert one["stages"] != other["stages"]


def test_the_dense_network_of_the_quick_contest_is_worth_a_comparison() -> None:
    """Of 449 test images, seed fixed; the quick form of the shipped study takes seconds."""
    spec = load_spec("compare").quick()
    (point,) = (one for one, _ in spec.expand(load_study("compare")) if getattr(one, "method", "") == "dense")
    assert isinstance(point, Contestant)
    assert run(point, 0)["stages"]["found"]["accuracy"] > 0.95


def test_train_validation_and_test_do_not_meet() -> None:
    train, held = training_data("digits", 500, 300)
    assert held is not None
    seen = {image.numpy().tobytes() for image in train.images}
    for other in (held, data.load("digits", "test")):
        assert not any(image.numpy().tobytes() in seen for image in other.images)
    assert (len(train), len(held)) == (500, 300)
    assert training_data("digits", None, 0)[1] is None


def test_data_that_cannot_be_tested_on_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_all_methods_of_a_seed_start_from_the_same_architecture() -> None:
    job = prepare(contestant("dense"), 5)
    first, second = (torch.nn.utils.parameters_to_vector(job.model().parameters()) for _ in range(2))
    assert torch.equal(first, second)
    other = torch.nn.utils.parameters_to_vector(prepare(contestant("dense"), 6).model().parameters())
    assert not torch.equal(first, other)


def test_sanity_checks_are_fine_tuned_too() -> None:
    result = run(contestant("gem-miner", finetune=1, sanity=True), 0)
    assert list(result["stages"]) == ["found", "tuned", "shuffled", "redrawn", "smart"]


def test_iterative_pruning_tells_of_its_levels_and_shares_epochs() -> None:
    result = run(contestant("imp", options={"fraction": 0.5, "rewind": 2}, density=0.25), 0)
    assert [density for density, _ in result["levels"]] == [1.0, 0.5, 0.25]
    shared = run(contestant("imp", options={"fraction": 0.5, "total": True}, density=0.25, epochs=3), 0)
    assert shared["epochs"] == 2  # two levels before the last, one epoch each
    assert shared["tuned_epochs"] == 1  # the last one, which no axis of costs leaves out
    assert result["levels"][-1][1] == result["stages"]["tuned"]["accuracy"]


def test_unknown_inputs_and_corruptions_are_measured() -> None:
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
def test_points_are_checked(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Contestant(**{"method": "dense", **change})


def test_options_and_recipes_are_checked() -> None:
    with pytest.raises(InputError, match="did you mean 'learning_rate'"):
        run(contestant("dense", recipe={"learningrate": 1}), 0)
    with pytest.raises(InputError, match="did you mean 'rewind'"):
        run(contestant("imp", options={"rewinds": 1}), 0)
    with pytest.raises(InputError, match="did you mean 'structure'"):
        run(contestant("gates", options={"structur": "filter"}), 0)


# --- one run in a folder


def test_a_run_is_written_once_and_read_after_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    lines: list[str] = []
    assert solo.run_one(point, 0, tmp_path / "run", progress=Lines(lines.append)) == stored
    assert "already there" in lines[0]
    with pytest.raises(InputError, match="another density"):
        solo.run_one(point.model_copy(update={"density": 0.3}), 0, tmp_path / "run", progress=Lines(lines.append))
    with pytest.raises(InputError, match="another seed"):
        solo.run_one(point, 1, tmp_path / "run", progress=Lines(lines.append))
    (tmp_path / "run" / "result.json").write_text("{}")
    with pytest.raises(InputError, match="not a result"):
        solo.run_one(point, 0, tmp_path / "run", progress=Lines(lines.append))


def test_an_interrupted_search_goes_on(tmp_path: Path) -> None:
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
    lines: list[str] = []
    stored = solo.run_one(point, 0, tmp_path, progress=Lines(lines.append))
    assert any("goes on" in line for line in lines)
    assert stored["result"]["stages"] == whole["stages"]


def test_a_run_that_never_began_can_be_corrected_in_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="penalty"):
        solo.run_one(contestant("gates", options={"penalty": -1}), 0, tmp_path, progress=False)
    assert solo.run_one(contestant("gates", options={"penalty": 1}), 0, tmp_path, progress=False)


def test_the_command_line_trains_and_says_what_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "edge-popup", "--arch", "digits", "--data", "digits", "--density", "0.5", "--epochs", "1",
             "--examples", "200", "--out", str(tmp_path / "run"))  # fmt: skip
    code, out, _ = command(capsys, monkeypatch, *words)
    assert code == 0
    assert "untouched" in out
    assert "as found" in out
    code, out, _ = command(capsys, monkeypatch, *words, "--json")
    assert code == 0
    assert json.loads(out)["point"]["density"] == 0.5
    code, out, _ = command(capsys, monkeypatch, "train", "list")
    assert code == 0
    assert all(name in out for name in METHODS)
    assert set(SUMMARIES) == set(METHODS)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("train", "edgepopup", "--out", "x"), "slth train list"),
        (("train", "dense"), "--out"),
        (("train", "edge-popup", "--density", "0", "--out", "x"), "--density"),
        (("train", "dense", "--density", "0.5", "--out", "x"), "dense has no --density: it keeps every weight"),
        (("train", "subset-sum", "--density", "0.5", "--out", "x"), "subset-sum has no --density"),
        (("train", "imp", "--density", "1", "--out", "x", "--arch", "digits", "--data", "digits"), "train dense"),
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
                ("dense", "--tensorboard", __file__, "--tensorboard must name a folder"),
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
def test_mistakes_are_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    match: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = command(capsys, monkeypatch, *words)
    assert code == 1
    assert match in err
    assert err.count("\n") == 1
    assert not (tmp_path / "x" / "result.json").exists()


def test_missing_data_is_said_before_any_work() -> None:
    with pytest.raises(DataError, match="nowhere"):
        run(contestant("dense", data="nowhere"), 0)
