"""A study whose points stay in compiled code: what tests of the time limit run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numba

from slth.experiments.engine.study import Point, Study


class Stuck(Point):
    a: int = 0
    where: Literal["nowhere", "numba", "numba without the lock", "C"] = "nowhere"
    folder: str = ""


def _spin(state: int) -> int:
    while state != 0:  # for ever: an xorshift never reaches zero
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
    return state


# Compiled while the study is imported, so that the limit strikes in the loop and not in the compiler, which is Python.
LOOPS: dict[str, Callable[[int], object]] = {
    "numba": numba.njit("int64(int64)")(_spin),
    "numba without the lock": numba.njit("int64(int64)", nogil=True)(_spin),
    "C": ctypes.PyDLL(None).sleep,  # keeps the lock of the interpreter
}


def run(point: Stuck, seed: int) -> dict[str, Any]:
    with (Path(point.folder) / f"{point.a}-{point.where}").open("a") as mark:
        mark.write("x")
    if point.where != "nowhere":
        LOOPS[point.where](600)
    ctypes.CDLL(None).usleep(400_000)
    return {"value": point.a}


STUDY = Study(name="stuck", title="Stuck", about="", point=Stuck, run=run, sections=lambda rows: [])
