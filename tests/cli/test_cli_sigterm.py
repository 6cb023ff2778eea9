"""SIGTERM: exit code 143 and a line on how to go on; nothing is half-written, and no worker stays behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run
from processes import orphans

from slth.cli.termination import TERMINATED_LINE
from slth.experiments.engine.runner import read_study, run_study
from slth.experiments.engine.spec import load_spec

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SLOW_MODEL = """
import sys
import torch
from torch import nn

def trained():
    print("the search begins", flush=True)
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), torch.zeros(1, 64)
"""


def terminated(folder: Path, arguments: list[str], ready: Callable[[str], bool]) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that gets SIGTERM once its output says that it is ready."""
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "slth", *arguments], cwd=folder, stdout=out, stderr=err, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while not ready((folder / "out").read_text()) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert orphans(process.pid) == []
    texts = [(folder / name).read_text() for name in ("out", "err")]
    for name in ("out", "err"):
        (folder / name).unlink()
    return code, texts[0], texts[1]


def test_a_study_ends_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "tiny_study.py").write_text((EXPERIMENTS / "tiny_study.py").read_text())
    grid = ", ".join(map(str, range(40)))
    (tmp_path / "t.toml").write_text(f'study = "tiny_study:STUDY"\n[point]\nms = 80\n[[grid]]\na = [{grid}]\n')
    command = ["study", "run", "t.toml", "--out", "s", "--json", "--workers", "2"]
    code, out, err = terminated(tmp_path, command, lambda text: '"point"' in text)
    assert (code, err.splitlines()) == (143, [TERMINATED_LINE])
    # The writer has closed its log.
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["rows.lock", "rows.sqlite", "spec.toml"]
    done = read_study(tmp_path / "s").totals.done
    assert out.count('"event": "point"') <= done < 40
    assert done == len(read_study(tmp_path / "s").rows)
    quick = load_spec(str(tmp_path / "t.toml"))
    assert run_study(quick, tmp_path / "s", workers=2).done == 40


def test_a_search_ends_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_MODEL)
    command = ["ticket", "find", "--model", "slow.py:trained", "--width", "20000", "--out", "t.slth"]
    code, _, err = terminated(tmp_path, command, lambda text: "the search begins" in text)
    assert (code, err.splitlines()[-1]) == (143, TERMINATED_LINE)
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["slow.py"]


def test_the_handler_is_the_command_s_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("slth.apps.doctor.examine", lambda: signal.raise_signal(signal.SIGTERM))
    code, _, err = run(capsys, monkeypatch, "doctor")
    assert (code, err) == (143, TERMINATED_LINE + "\n")
    assert signal.getsignal(signal.SIGTERM) is before
