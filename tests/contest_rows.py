"""Small contestants, and rows of comparisons that were never run."""

from __future__ import annotations

from typing import Any

from slth.experiments.contest.contestant import Contestant
from slth.experiments.engine.study import Row

SMALL: dict[str, Any] = {
    "arch": "digits",
    "data": "digits",
    "examples": 200,
    "validation": 100,
    "test": 100,
    "epochs": 2,
}


def contestant(method: str, **more: Any) -> Contestant:
    options = {"subset-sum": {"width": 60}}.get(method, {})
    return Contestant(method=method, **{**SMALL, "density": 0.4, "options": options, **more})


def row(
    method: str,
    seed: int,
    *,
    density: float = 0.05,
    options: dict[str, Any] | None = None,
    finetune: int = 5,
    levels: list[list[float]] | None = None,
    **stages: Any,
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
