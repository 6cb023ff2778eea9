"""What is kept on disk belongs to one version of the code, and nothing depends on its being there."""

from __future__ import annotations

from pathlib import Path

import pytest

from slth.apps import bound_curves
from slth.cache import cache_folder, code_digest, writable_cache_folder


def test_another_package_has_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLTH_CACHE", str(tmp_path))
    assert cache_folder("x", "slth.rss") == tmp_path / f"x-{code_digest('slth.rss')}"
    assert len({code_digest("slth.rss"), code_digest("slth.theory"), code_digest("slth.errors")}) == 3
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("SLTH_CACHE")
    assert cache_folder("x", "slth.rss").parent.name == "slth"


def test_a_folder_that_cannot_be_written_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLTH_CACHE", str(tmp_path / "file"))
    assert writable_cache_folder("x", "slth.rss") is None
    monkeypatch.setattr(bound_curves, "PLOT_EPS", [0.2, 0.1])
    assert len(bound_curves.bound_curves(1, 0.5, 1.0)) == 6


def test_a_second_drawing_computes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLTH_CACHE", str(tmp_path))
    monkeypatch.setattr(bound_curves, "PLOT_EPS", [0.2, 0.1])
    first = bound_curves.bound_curves(1, 0.5, 1.0)
    monkeypatch.setattr("slth.theory.bounds.compute", lambda *_, **__: pytest.fail("it was computed again"))
    assert bound_curves.bound_curves(1, 0.5, 1.0) == first
