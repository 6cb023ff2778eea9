"""The demo in its smoke form, the figures and the report it writes, and the README's example."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from slth import figures, load_ticket
from slth.apps.demo import DemoResult, run_demo
from slth.progress import Lines

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", name="demo")
def _demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, list[str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLTH_SMOKE", "1")
        lines: list[str] = []
        result = run_demo(tmp_path_factory.mktemp("demo") / "out", progress=Lines(lines.append))
    return result, lines


def test_demo_writes_a_ticket_that_verifies(demo: tuple[DemoResult, list[str]]) -> None:
    result, lines = demo
    assert load_ticket(result.folder / "digits.slth").verify()
    assert result.verification
    assert any("verified" in line for line in lines)
    assert len(result.widths) >= 4
    assert [score.name for score in result.scores] == ["target", "ticket", "random ticket", "unpruned parent"]


def test_the_ticket_follows_its_target_and_the_controls_do_not(demo: tuple[DemoResult, list[str]]) -> None:
    result, _ = demo
    score = {one.name: one for one in result.scores}
    # Smoke form: a target of 4 epochs, width 800. The run is deterministic on one machine; the margins are wide.
    assert score["ticket"].agreement > 0.8
    assert score["random ticket"].agreement < 0.5
    assert score["unpruned parent"].agreement < 0.5


def test_demo_report_is_self_contained(demo: tuple[DemoResult, list[str]]) -> None:
    result, _ = demo
    page = (result.folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "random ticket" in page
    for name in ("error-per-layer", "accuracy-against-width", "filters"):
        assert (result.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_figures_return_their_axes(demo: tuple[DemoResult, list[str]]) -> None:
    result, _ = demo
    for ax in (
        figures.error_per_layer(result.ticket),
        figures.filters_side_by_side(result.ticket, layer=2),
        figures.accuracy_against_width(widths=[10, 20], accuracy=[0.5, 0.6], target=0.9),
    ):
        assert isinstance(ax, Axes)
        assert figures.error_per_layer(result.ticket, ax=ax) is ax


def test_the_readme_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    runnable = [block for block in blocks if "..." not in block]
    assert len(runnable) == 2
    for i, block in enumerate(runnable):
        path = tmp_path / f"example{i}.py"
        path.write_text(block)
        names = runpy.run_path(str(path))
        assert names.get("ticket") is not None or names["solution"].status.name == "optimal"
