"""``slth train --time-limit``: the run stops in one line, keeps its finished epochs, and goes on when asked again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run

from slth.baselines.training import TRAINING_TASK
from slth.errors import TimeLimitError
from slth.progress import Deadline

COMMAND = ("train", "edge-popup", "--arch", "digits", "--data", "digits", "--epochs", "2", "--validation", "100",
           "--examples", "400", "--density", "0.5")  # fmt: skip


def test_a_deadline_stops_at_the_first_step_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5.0
    monkeypatch.setattr("slth.progress.time.monotonic", lambda: now)
    deadline = Deadline(2.0, "Go on.")
    deadline.begin("work", 3)
    now = 6.9
    deadline.advance("work")
    now = 7.0
    with pytest.raises(TimeLimitError, match=r"^stopped after the time limit of 2 s\. Go on\.$"):
        deadline.advance("work")


def test_a_stopped_run_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, monkeypatch, *COMMAND, "--out", "whole")[0] == 0

    class SecondEpoch(Deadline):
        """Its time is over in the second epoch, however fast the machine is."""

        finished = 0

        def say(self, line: str) -> None:
            self.finished += line.startswith("epoch ")

        def advance(self, task: str, steps: int = 1) -> None:
            self._end = 0.0 if task == TRAINING_TASK and self.finished else float("inf")
            super().advance(task, steps)

    with monkeypatch.context() as patch:
        patch.setattr("slth.progress.Deadline", SecondEpoch)
        code, out, err = run(capsys, patch, *COMMAND, "--out", "parts", "--time-limit", "100")
    assert code == 1
    assert "epoch 1 of 2" in out
    assert err == (
        "error: stopped after the time limit of 100 s. Finished epochs are kept in parts: the same command goes on "
        "from there.\n"
    )
    assert not Path("parts/result.json").exists()
    code, out, _ = run(capsys, monkeypatch, *COMMAND, "--out", "parts")
    assert code == 0
    assert "goes on from" in out
    results = [json.loads(Path(folder, "result.json").read_text())["result"] for folder in ("whole", "parts")]
    assert results[0]["stages"] == results[1]["stages"]


@pytest.mark.parametrize("limit", ["0", "-1", "nan"])
def test_a_limit_that_makes_no_sense_is_refused_first(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, monkeypatch, *COMMAND, "--out", "run", "--time-limit", limit)
    assert (code, err.count("\n")) == (1, 1)
    assert "--time-limit must be a finite number > 0" in err
    assert not Path("run").exists()
