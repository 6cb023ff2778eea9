"""``--calibrate`` at the command line: found, shown, verified, and not judged on its own images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run

Command = Callable[..., tuple[int, str, str]]

MODEL = """
import torch
from torch import nn

def trained():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)), torch.zeros(1, 1, 8, 8)
"""


@pytest.fixture(name="slth")
def _slth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return lambda *arguments: run(capsys, monkeypatch, *map(str, arguments))


def test_a_calibrated_ticket_from_search_to_evaluation(slth: Command, tmp_path: Path) -> None:
    model, out = tmp_path / "mymodel.py", tmp_path / "mine.slth"
    model.write_text(MODEL)
    found = slth("ticket", "find", "--model", f"{model}:trained", "--width", 200, "--input-range", "0,1",
                 "--calibrate", "digits", "--calibration-images", 200, "--out", out)  # fmt: skip
    assert found[0] == 0, found[2]
    assert "calibrated on 200 unlabelled images (SHA-256 " in found[1]
    code, shown, _ = slth("ticket", "show", out)
    assert code == 0
    assert "calibrated on 200 unlabelled images" in shown
    code, verified, _ = slth("ticket", "verify", out)
    assert code == 0
    assert "not checked: the goals were not computed again: that needs the 200 images" in verified
    code, verified, _ = slth("ticket", "verify", out, "--calibrate", "digits", "--strict")
    assert code == 0
    assert "the goals of the calibration are computed again" in verified
    code, _, error = slth("ticket", "evaluate", out, "--data", "digits", "--split", "train")
    assert code == 1
    assert "the ticket was calibrated on images of this data" in error
    assert slth("ticket", "evaluate", out, "--data", "digits", "--limit", 20)[0] == 0
