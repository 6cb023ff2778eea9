"""The list of shipped studies with their numbers of points, kept in a file so that printing it imports no study.

``python -m slth.experiments.engine.listing`` writes the file again after a spec has changed; a test compares the two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slth.experiments.engine.registry import load_study
from slth.experiments.engine.spec import SHIPPED_SPECS, load_spec, shipped

_FILE = SHIPPED_SPECS / "listing.json"


def read_listing() -> list[dict[str, Any]]:
    """The list as it is kept: ``name``, ``title``, ``points`` and ``smoke_points`` of each study."""
    listed: list[dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return listed


def make_listing() -> list[dict[str, Any]]:
    """The list, computed: every study is imported and every spec expanded."""
    found = []
    for name in shipped():
        spec = load_spec(name)
        study = load_study(spec.study)
        smoke = len(spec.quick().expand(study)) if spec.smoke else 0
        points = len(spec.expand(study))
        found.append({"name": name, "title": spec.title or study.title, "points": points, "smoke_points": smoke})
    return found


if __name__ == "__main__":
    text = json.dumps(make_listing(), indent=2, ensure_ascii=False)
    Path(str(_FILE)).write_text(f"{text}\n", encoding="utf-8")
