"""Figures of the studies: what is on the axes, what is hatched or hollow, and that they read without colour."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from slth import figures
from slth.experiments.analysis.summary import Spread
from slth.figures.style import log_axis, new_axes, panels
from slth.report import png


def curve(*values: float, spread: float = 1.2) -> list[tuple[float, Spread]]:
    return [(2.0 ** (3 + i), Spread(value, value / spread, value * spread)) for i, value in enumerate(values)]


def width(**changes: Any) -> Axes:
    given: dict[str, Any] = {
        "n": [100, 200, 400], "error": [Spread(1.0, 0.9, 1.1), Spread(0.5, 0.4, 0.6), Spread(0.2, 0.1, 0.3)],
        "within": [False, True, True], "first_moment": [None, 40.0, 60.0], "certified": {0.2: 90}, "dimension": 9,
        "paper": [None, 2e8, 3e8], "law": [1.0, 0.5, 0.25], "law_label": "fitted",
    }  # fmt: skip
    return figures.candidates_against_error(**{**given, **changes})


FIGURES: dict[str, Callable[..., Axes]] = {
    "width": width,
    "scale": lambda **more: figures.error_against_scale(
        curves={"normal": curve(0.1, 0.02), "uniform": curve(0.2, 0.01)}, auto=8.0, **more
    ),
    "front": lambda **more: figures.error_against_time(
        {"a": curve(0.1, 0.02), "b": curve(0.2)}, front=[(8.0, 0.1), (16.0, 0.02)], **more
    ),
    "dimension": lambda **more: figures.error_against_dimension(
        curves={name: curve(0.1, 0.2, 0.3 + i) for i, name in enumerate("abcdefghi")},
        trivial=[(8, 1.0), (16, 1.0), (32, 1.0)], exists=[(8, 1e-9), (16, 1e-9)], **more,
    ),
    "table": lambda **more: figures.outcome_table(
        values=[[0.1, 2.0, None], [np.inf, 0.5, 0.9]], limits=[1.0, 1.0, 1.0], rows=["a", "b"],
        columns=["1", "2", "4"], label="error", **more,
    ),
    "structure": lambda **more: figures.price_of_structure(
        curves={"weight": curve(0.1, 0.01), "channel": curve(0.5, 0.4)}, label="FLOPs", reference=0.2, **more
    ),
    "neurons": lambda **more: figures.neuron_gap(
        neuron=curve(0.5, 0.3), proved=curve(0.4, 0.2), theorem=curve(0.1, 0.05), blocked=curve(0.5, 0.001), **more
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_on_the_axes_it_is_given(name: str) -> None:
    ax = new_axes(4, 3)
    assert FIGURES[name](ax=ax) is ax
    assert ax.get_xlabel()
    assert png(FIGURES[name]())[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", ["scale", "dimension", "structure", "neurons"])
def test_curves_differ_in_more_than_hue(name: str) -> None:
    lines = [line for line in FIGURES[name]().get_lines() if not str(line.get_label()).startswith("_")]
    looks = [
        (line.get_marker(), line.get_linestyle(), line.get_linewidth(),
         to_hex(line.get_markerfacecolor()) == "#ffffff")
        for line in lines
    ]  # fmt: skip
    for (one, look), (other, same) in itertools.combinations(zip(lines, looks, strict=True), 2):
        assert look != same, f"{one.get_label()} and {other.get_label()} look alike in grey"


@pytest.mark.parametrize("name", ["width", "scale", "dimension", "structure", "neurons"])
def test_intervals_are_shaded(name: str) -> None:
    shades = FIGURES[name]().collections
    assert shades
    assert all((one.get_alpha() or 1.0) < 0.5 for one in shades)


def test_units_and_constants_are_named() -> None:
    ax = width()
    assert "standard deviations" in ax.get_xlabel()
    assert "candidates" in ax.get_ylabel()
    assert any("C = 1 assumed" in text.get_text() for text in ax.texts)
    labels = ax.get_legend_handles_labels()[1]
    assert any("certified" in label and "½" in label for label in labels)
    assert "FLOPs" in FIGURES["structure"]().get_ylabel()
    assert "%" in FIGURES["scale"]().get_ylabel()


def test_what_is_not_there_is_not_drawn() -> None:
    """No certified width, no threshold, no paper's form, no law: their entries go, nothing else."""
    labels = width(certified={}, first_moment=[None] * 3, paper=[None] * 3, law=None).get_legend_handles_labels()[1]
    assert labels == ["measured (ticket)", "measured, target not reached"]
    assert not width(paper=[None] * 3).texts
    one = figures.candidates_against_error(
        n=[5],
        error=[Spread(1.0, 1.0, 1.0)],
        within=[True],
        first_moment=[None],
        certified={},
        paper=[None],
        dimension=1,
    )
    assert png(one)
    assert png(figures.neuron_gap(neuron=[], proved=[], theorem=[], blocked=curve(0.5, 0.1)))


def test_measured_points_that_miss_the_target_are_hollow() -> None:
    hollow = {line.get_label(): line.get_markerfacecolor() for line in width().get_lines()}
    assert hollow["measured, target not reached"] == "none"
    assert hollow["measured (ticket)"] != "none"


def test_refused_and_useless_cells_are_hatched() -> None:
    ax = FIGURES["table"]()
    hatched = {
        (round(p.get_x() + 0.5), round(p.get_y() + 0.5))
        for p in ax.patches
        if isinstance(p, Rectangle) and p.get_hatch()
    }
    assert hatched == {(1, 0), (2, 0), (0, 1)}  # worse than the limit, no row, refused
    texts = {tuple(map(round, text.get_position())): text.get_text() for text in ax.texts}
    assert texts[0, 1] == "refused"
    assert texts[2, 0] == ""
    assert texts[0, 0] == "0.1"


def test_tick_labels_of_a_short_range_do_not_collide() -> None:
    ax = new_axes(4, 3)
    ax.plot([0.3, 0.9], [1, 1e6])
    log_axis(ax, "x")
    log_axis(ax, "y")
    figure = ax.get_figure()
    assert figure is not None
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels(which="both") if label.get_text()]
    boxes = sorted((box for box in boxes if box.width), key=lambda box: box.x0)
    assert len(boxes) >= 1
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_panels_share_a_figure() -> None:
    axes = panels(5, columns=2)
    assert len(axes) == 5
    assert len({id(ax.get_figure()) for ax in axes}) == 1
