"""A time limit: the search ends in time with every method, says what ended at the limit, and is shared out fairly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from command_line import run
from torch import nn

from slth.errors import InputError
from slth.networks import models
from slth.rss import SOLVERS
from slth.tickets import find_ticket, load_ticket
from slth.tickets.search import search_time as search_times
from slth.tickets.search.parts import load_solvers
from slth.tickets.search.search_time import ChannelTime, SearchTime


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize("method", ["auto", *SOLVERS])
def test_the_search_ends_in_time_and_verifies(method: str) -> None:
    load_solvers(method)  # as the search does before its time starts
    limit = 0.3
    began = time.monotonic()
    ticket = find_ticket(tiny(), width=60, method=method, time_limit=limit, threads=2)
    assert time.monotonic() - began < 1.2 * limit + 2
    assert ticket.verify()
    stated = ticket.info["time_limit"]
    assert stated["limit"] == limit
    assert stated["instances"] == 6 * 2 + 2 + 4  # negative inputs in the first layer, biases
    assert set(stated["at_limit"]) == {"0", "2"}
    assert all(0 <= count <= 14 for count in stated["at_limit"].values())


def test_slow_proofs_end_at_the_limit_and_the_file_says_so(tmp_path: Path) -> None:
    """SCIP takes minutes for each of these eighteen instances."""
    ticket = find_ticket(tiny(), width=200, method="scip", time_limit=1.5, threads=2)
    stated = load_ticket(ticket.save(tmp_path / "t.slth")).info["time_limit"]
    assert (stated["limit"], stated["instances"]) == (1.5, 18)
    assert 10 <= sum(stated["at_limit"].values()) <= 18


def test_enough_time_gives_no_worse_sums_than_no_limit() -> None:
    """``auto`` proves the optimum of these instances in milliseconds, and leaves the rest of its time."""
    began = time.monotonic()
    limited, free = (find_ticket(tiny(), width=30, time_limit=limit, threads=1) for limit in (60.0, None))
    assert time.monotonic() - began < 30
    assert [one.error for one in limited.layers] == [one.error for one in free.layers]
    assert sum(limited.info["time_limit"]["at_limit"].values()) == 0
    assert "time_limit" not in free.info


def test_a_short_limit_still_makes_the_first_pass() -> None:
    """Cut short, a pursuit returns next to nothing; the first pass of ``relax`` is never cut."""
    model = nn.Sequential(nn.Conv2d(2, 6, 3))
    short, free = (find_ticket(model, width=400, method="relax", time_limit=limit) for limit in (1e-6, None))
    assert [one.error for one in short.layers] == [one.error for one in free.layers]


def test_a_limit_far_too_short_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_times, "OVERTIME_SECONDS", 0.0)
    with pytest.raises(
        InputError, match=r"^time_limit must be long .* (about|more than) [\d.]+ s; got 0\.02 s, .*% .*width.*$"
    ):
        find_ticket(models.mlp(sizes=(300, 30)), width=500, time_limit=0.02, threads=1)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), True, "3"])
def test_a_limit_that_makes_no_sense_is_refused(limit: float) -> None:
    with pytest.raises(InputError, match="time_limit"):
        find_ticket(tiny(), width=5, time_limit=limit)


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("slth.tickets.search.search_time.time.monotonic", lambda: self.now)


def test_time_is_shared_out_in_proportion_to_the_dimension(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    search_time = SearchTime(10.0, 100, 1)
    assert search_time.share(50) == pytest.approx(5)
    clock.now += 1.0  # it ends early, and leaves four seconds to the others
    search_time.settle(50, 0.0)
    assert search_time.share(10) == pytest.approx(9 / 5)
    clock.now += 9 / 5 + 0.5  # the extra half second will be needed for the 40 that are left, too
    search_time.settle(10, 0.5)
    assert search_time.share(20) == pytest.approx((10 - 3.3 - 0.5 / 60 * 40) / 2)
    clock.now += 20
    with pytest.raises(InputError, match=r"about 23\.3 s; got 10 s, .* 60%"):
        search_time.share(20)


def test_threads_share_the_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    search_time = SearchTime(10.0, 40, 4)
    assert search_time.share(10) == pytest.approx(10)  # four instances on four threads
    assert search_time.share(5) == pytest.approx(5)
    channel_time = ChannelTime(search_time, 10)
    channel_time.settle(4, 1.0, 1.5, proved=False)
    channel_time.settle(4, 1.0, 1.5, proved=True)
    channel_time.settle(2, 1.0, 0.5, proved=False)
    channel_time.close(4.0)
    assert channel_time.at_limit == 1


def test_the_command_says_what_ended_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text("from torch import nn\ndef f():\n    return nn.Sequential(nn.Linear(3, 2))\n")
    command = ("ticket", "find", "--model", "m.py:f", "--width", "80", "--method", "scip", "--out", "t.slth")
    code, out, _ = run(capsys, monkeypatch, *command, "--time-limit", "0.2")
    assert code == 0
    assert "of 7 instances ended at it" in out
    code, _, err = run(capsys, monkeypatch, *command, "--time-limit", "-3")
    assert (code, err.count("\n")) == (1, 1)
    assert "time_limit must be a finite number > 0; got -3" in err
