"""Every notebook runs from top to bottom in its smoke form, in a kernel, and shows pictures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="notebooks need slth[notebooks]")
pytest.importorskip("nbmake", reason="notebooks need slth[notebooks]")

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def test_there_are_six_and_each_says_how_long_it_takes() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06"]
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^# Run time: about [\d.]+ (seconds|minutes)", text, re.MULTILINE), path.name
        assert "formats: py:percent,ipynb" in text


def test_all_of_them_run(tmp_path: Path) -> None:
    """One pytest for all: starting it costs as much as a short notebook."""
    for path in NOTEBOOKS:
        jupytext.write(jupytext.read(path), tmp_path / f"{path.stem}.ipynb")
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbmake", "--overwrite", "--nbmake-timeout=300", "-p", "no:cacheprovider",
         "-q", "."],
        cwd=tmp_path, env={**os.environ, "SLTH_SMOKE": "1", "PYTHONPATH": paths}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(NOTEBOOKS)} passed" in done.stdout
    for path in tmp_path.glob("*.ipynb"):
        outputs = [out for cell in jupytext.read(path).cells for out in cell.get("outputs", [])]
        assert any("image/png" in out.get("data", {}) for out in outputs), f"{path.name} shows no picture"


def test_a_notebook_that_fails_fails_the_test(tmp_path: Path) -> None:
    """The test above is worth what nbmake sees."""
    (tmp_path / "bad.py").write_text("# %%\nassert 1 + 1 == 3\n")
    jupytext.write(jupytext.read(tmp_path / "bad.py"), tmp_path / "bad.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbmake", "-p", "no:cacheprovider", "-q", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
