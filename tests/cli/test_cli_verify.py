"""slth ticket verify: what it prints, what it was told to expect, and what it did not check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import run
from safetensors.numpy import load_file, save_file
from torch import nn

from slth.tickets import certified_agreement, find_ticket

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="verify")
def _verify(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return lambda *words: run(capsys, monkeypatch, "ticket", "verify", *map(str, words))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    return find_ticket(model, width=40, input_range=(0, 1), example_input=torch.rand(1, 3)).save(tmp_path / "t.slth")


def test_the_hash_and_the_range_are_printed_and_can_be_demanded(verify: Command, file: Path) -> None:
    code, out, _ = verify(file)
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith("verified: ")
    hash_ = second.removeprefix("target: SHA-256 ").split(",")[0]
    assert second == f"target: SHA-256 {hash_}, inputs: input (n, 3) in [0, 1]"
    assert verify(file, "--expect", hash_, "--strict")[0] == 0
    assert verify(file, "--expect", hash_[:16].upper())[0] == 0
    code, out, err = verify(file, "--expect", "0" * 64)
    assert (code, out) == (1, "")
    assert err == f"error: the target has the hash {hash_}, not the expected {'0' * 64}\n"
    for wrong in ("", "12", "x" * 64, "0" * 65):
        code, _, err = verify(file, "--expect", wrong)
        assert code == 1
        assert "--expect must be 16 to 64 hexadecimal digits" in err


def test_what_was_not_checked_comes_first_and_fails_when_strict(verify: Command, file: Path) -> None:
    weights = load_file(file.with_suffix(".target.safetensors"))
    save_file(weights, file.with_suffix(".target.safetensors"))  # as somebody else would write it: without a hash
    code, out, _ = verify(file)
    assert code == 0
    assert out.splitlines()[0].startswith("not checked: the target's file states no hash")
    code, out, err = verify(file, "--strict")
    assert (code, out) == (1, "")
    assert err.startswith("error: not checked: the target's file states no hash")
    found = json.loads(verify(file, "--json")[1])
    assert found["ok"]
    assert len(found["unchecked"]) == 1


def test_certified_agreement_is_about_its_images(file: Path) -> None:
    from slth.tickets import load_ticket

    ticket, images = load_ticket(file), torch.rand(5, 3)
    claim = certified_agreement(ticket, images, radius=0.001).describe()
    ticket.info["certificate"] = {"network": None, "agreement": [claim]}
    assert ticket.verify().unchecked == ("certified agreement was not checked: it needs the data",)
    assert ticket.verify(images).unchecked == ()
    assert ticket.verify(images)
    assert "other images" in ticket.verify(images.flip(0)).failures[0]
    del claim["images_sha256"]
    assert "does not say which images" in ticket.verify(images).unchecked[0]


def test_the_wrong_target_is_blamed_and_not_the_ticket(verify: Command, file: Path, tmp_path: Path) -> None:
    other = find_ticket(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), width=10, input_range=(0, 1))
    other.save(tmp_path / "other.slth")
    wrong = tmp_path / "other.target.safetensors"
    code, _, err = verify(file, "--target", wrong)
    assert code == 1
    assert "other.target.safetensors is not the target of t.slth" in err
    save_file(load_file(wrong), wrong)
    code, _, err = verify(file, "--target", wrong)
    assert code == 1
    assert "other.target.safetensors is not the target of t.slth" in err
