"""A study of no interest, as a user would write one beside a spec file: what tests of the runner run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from slth.experiments.engine.study import Point, Row, Study

if TYPE_CHECKING:
    from slth.report import Section

# What only some points need is imported there: tests start many workers.


class Tiny(Point):
    a: int = 0
    b: float = 1.0
    do: Literal[
        "", "die", "die once", "raise", "hang", "exit", "threads", "print", "drift", "grow", "odd", "list", "imports"
    ] = ""  # fmt: skip
    ms: float = 0.0
    folder: str = ""


def run(point: Tiny, seed: int) -> dict[str, Any]:
    time.sleep(point.ms / 1000)
    mark = Path(point.folder) / f"{point.a}-{seed}"
    if point.do == "die" or (point.do == "die once" and not mark.exists()):
        if point.folder:
            mark.touch()
        os._exit(3)
    if point.do == "raise":
        raise RuntimeError(f"a = {point.a} is not to be")
    while point.do == "hang":
        time.sleep(0.01)
    if point.do == "exit":
        sys.exit("enough")
    if point.do == "odd":
        return {"value": object()}
    if point.do == "threads":
        import threadpoolctl
        import torch

        from slth.rss.threads import thread_count

        pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        return {"slth": thread_count(None), "torch": torch.get_num_threads(), "pools": pools}
    if point.do == "list":
        return cast(dict[str, Any], [1])
    if point.do == "imports":
        return {"imported": [name for name in ("stringprep", "torch", "matplotlib") if name in sys.modules]}
    if point.do == "print":
        print("not JSON")
    if point.do == "grow":
        np.ones(50_000_000 if point.a else 1)
    if point.do == "drift":
        return {"value": mark.read_text(), "same": [1.0, float("nan")], "latency": time.perf_counter()}
    rng = np.random.default_rng([seed, point.a])
    return {"value": rng.standard_normal(), "many": rng.standard_normal(3), "seconds": time.perf_counter()}


def sections(rows: Sequence[Row]) -> list[Section]:
    from slth.figures.style import new_axes
    from slth.report import Section

    ax = new_axes(3, 2)
    ax.plot([row.point["a"] for row in rows], [row.result["value"] for row in rows], ".")
    ax.set_xlabel("a")
    table = [(row.point["a"], row.seed, row.result["value"]) for row in rows]
    return [Section("Values & all", "A line.", ("a", "seed", "value"), table, ax, "values"), Section("Words", "Only.")]


STUDY = Study(
    name="tiny", title="Tiny", about="Nothing.", point=Tiny, run=run, sections=sections, clocks=("latency",),
    imports=("stringprep",),
)  # fmt: skip
NO_STUDY = 3
