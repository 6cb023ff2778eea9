"""The command line as a user meets it: what it prints, what it refuses, and that it leaves nothing half-done."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run
from safetensors.numpy import save_file

from slth import load_ticket
from slth.apps import doctor
from slth.networks import models

Command = Callable[..., tuple[int, str, str]]

# A model file such as a user would write.
USER_MODEL = """
import torch
from torch import nn

def trained():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)), torch.zeros(1, 1, 8, 8)

class Unusual(nn.Module):
    def forward(self, x):
        return torch.erfinv(x)

def unsupported():
    return nn.Sequential(nn.Linear(64, 8), Unusual())

def wrong():
    return 3

def poisoned():
    model = trained()[0]
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    return model
"""


@pytest.fixture(name="slth")
def _slth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return lambda *arguments: run(capsys, monkeypatch, *map(str, arguments))


@pytest.fixture(name="user_model")
def _user_model(tmp_path: Path) -> Path:
    path = tmp_path / "mymodel.py"
    path.write_text(USER_MODEL)
    return path


@pytest.fixture(name="ticket_file")
def _ticket_file(slth: Command, user_model: Path, tmp_path: Path) -> Path:
    out = tmp_path / "mine.slth"
    code, _, err = slth("ticket", "find", "--model", f"{user_model}:trained", "--width", "linear=300,3=200",
                        "--input-range", "0,1", "--out", out)  # fmt: skip
    assert code == 0, err
    return out


def test_find_verify_show_evaluate(slth: Command, ticket_file: Path) -> None:
    code, out, _ = slth("ticket", "verify", ticket_file)
    assert code == 0
    assert "every error as recorded" in out
    code, out, _ = slth("ticket", "show", ticket_file, "--json")
    shown = json.loads(out)
    assert code == 0
    assert [layer["width"] for layer in shown["layers"]] == [300, 200]
    code, out, _ = slth("ticket", "evaluate", ticket_file, "--data", "digits", "--limit", "50", "--json")
    scores = json.loads(out)["scores"]
    assert code == 0
    assert [score["name"] for score in scores] == ["target", "ticket", "random ticket", "unpruned parent"]
    assert all(0 <= score["agreement"] <= 1 for score in scores)


def test_weights_of_a_built_in_architecture(slth: Command, tmp_path: Path) -> None:
    weights = tmp_path / "mlp.safetensors"
    rng = np.random.default_rng(0)
    save_file(
        {"fc1.weight": rng.random((500, 784), np.float32), "fc2.weight": rng.random((10, 500), np.float32)},
        weights,
    )  # fmt: skip
    model = models.load_weights("mlp", weights)
    assert model.get_submodule("fc1").bias is None
    code, _, err = slth("ticket", "find", "--arch", "lenet5", "--weights", weights, "--width", "100",
                        "--out", tmp_path / "x.slth")  # fmt: skip
    assert code == 1
    assert "does not fit arch lenet5" in err
    assert "conv1.weight is missing" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--width", "0"], "width must be an integer between 1 and"),
        (["--width", "-5"], "got -5"),
        (["--width", "many"], "pairs like conv=60000"),
        (["--width", "fc9=10"], "names no layer 'fc9'"),
        (["--width", "2000000000"], "of memory"),
        (["--width", "100", "--input-range", "1,0"], "lo ≤ hi"),
        (["--width", "100", "--input-range", "zero"], "--input-range must be lo,hi"),
        (["--width", "100", "--input-range", "0.5,1"], "must lie in input_range"),
        (["--width", "100", "--method", "magic"], "method must be one of"),
        (["--width", "100", "--law", "cauchy"], "law must be one of"),
        (["--width", "100", "--seed", "-1"], "seed must be"),
        (["--width", "100", "--threads", "0"], "threads must be"),
    ],
)
def test_bad_options_are_one_clear_line_and_leave_no_file(
    slth: Command, user_model: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    out = tmp_path / "never.slth"
    code, _, err = slth("ticket", "find", "--model", f"{user_model}:trained", "--out", out, *options)
    assert code == 1
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert says in err
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "__pycache__") == ["mymodel.py"]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("unsupported", "is not supported: function erfinv in 1"),
        ("wrong", "must return a torch module"),
        ("missing", "does not have. It has: trained"),
        ("poisoned", "must be finite; got nan"),
    ],
)
def test_bad_models_are_one_clear_line(
    slth: Command, user_model: Path, tmp_path: Path, function: str, says: str
) -> None:
    out = tmp_path / "never.slth"
    code, _, err = slth("ticket", "find", "--model", f"{user_model}:{function}", "--width", "100", "--out", out)
    assert code == 1
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not out.exists()


def test_bad_files_and_folders(
    slth: Command, ticket_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        (["ticket", "verify", tmp_path / "none.slth"], "nothing is there"),
        (["ticket", "evaluate", ticket_file, "--data", "nosuch"], "no 'nosuch' found"),
        (["ticket", "find", "--width", "10", "--out", tmp_path / "x.slth"], "got neither"),
        (["ticket", "find", "--width", "10", "--arch", "mlp", "--out", tmp_path / "x.slth"], "--weights"),
        (["ticket", "find", "--width", "10", "--arch", "mlp", "--out", tmp_path / "x.txt"], "must end in .slth"),
        (["ticket", "find", "--width", "10", "--arch", "mlp", "--out", tmp_path / "no" / "x.slth"], "does not"),
        (["demo", "--out", ticket_file], "cannot make the folder"),
    ]  # fmt: skip
    monkeypatch.setenv("SLTH_DATA", str(tmp_path / "nowhere"))
    for arguments, says in cases:
        code, _, err = slth(*arguments)
        assert code == 1, arguments
        assert says in err
        assert len(err.strip().splitlines()) == 1
    damaged = bytearray(ticket_file.read_bytes())
    damaged[-100] ^= 4
    (tmp_path / "damaged.slth").write_bytes(bytes(damaged))
    code, _, err = slth("ticket", "verify", tmp_path / "damaged.slth")
    assert code == 1
    assert "is not an intact ticket" in err


def test_a_ticket_whose_record_is_wrong_does_not_verify(slth: Command, ticket_file: Path) -> None:
    ticket = load_ticket(ticket_file)
    better = dataclasses.replace(ticket.layers[0], error=ticket.layers[0].error / 2)
    dataclasses.replace(ticket, layers=(better, *ticket.layers[1:])).save(ticket_file)
    code, _, err = slth("ticket", "verify", ticket_file)
    assert code == 1
    assert "error is recorded as" in err


def test_usage_errors_exit_with_two(slth: Command) -> None:
    code, _, err = slth("ticket", "find")
    assert code == 2
    assert "Missing option" in err


def test_interrupt_leaves_no_file(
    slth: Command, user_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("slth.tickets.search.search.search_channel", interrupted)
    code, _, err = slth(
        "ticket", "find", "--model", f"{user_model}:trained", "--width", "100", "--out", tmp_path / "x.slth"
    )
    assert code == 130
    assert "no file was left half-written" in err
    assert not (tmp_path / "x.slth").exists()


def test_the_doctor_knows_every_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of pyproject.toml but the contributors' own, each with what it is for."""
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["optional-dependencies"]
    assert {extra for extra, _, _ in doctor.EXTRAS} == set(declared) - {"dev"}
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    found = {check.name: check for check in doctor.examine()}
    assert found["extra parquet"].ok
    assert "pip install 'slth[parquet]'" in found["extra parquet"].found


def test_doctor_and_data_list(slth: Command) -> None:
    code, out, _ = slth("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)}
    assert code == 0
    assert all(check["ok"] for check in checks.values())
    assert {"generator", "solver", "search"} <= checks.keys()
    code, out, _ = slth("data", "list", "--json")
    assert code == 0
    assert "digits" in json.loads(out)


def test_help_and_version_import_nothing_heavy() -> None:
    probe = (
        "import sys; sys.argv = ['slth', {0!r}]\n"
        "from slth.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert not {{'torch', 'numba', 'scipy', 'matplotlib'}} & sys.modules.keys()"
    )
    for argument in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", probe.format(argument)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "slth" in done.stdout


def test_load_weights_round_trip(tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_torch

    torch.manual_seed(0)
    model = models.lenet5(padding="valid", bias=True)
    save_torch(model.state_dict(), tmp_path / "w.safetensors")
    loaded = models.load_weights("lenet5-valid", tmp_path / "w.safetensors")
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(loaded(x), model.eval()(x))
