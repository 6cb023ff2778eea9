"""Bounds say what they say: numbers by hand, constants never hidden, hypotheses named; and their command line."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import run
from matplotlib.axes import Axes
from safetensors.torch import save_file

from slth import figures
from slth.apps.bound_curves import PLOT_EPS, bound_curves
from slth.errors import InputError
from slth.networks import models
from slth.theory import REFERENCES, bounds, thresholds
from slth.theory.bounds import BOUNDS, Layer, compute, for_layer
from slth.theory.evaluation import Bound
from slth.theory.formatting import format_exponential, format_number
from slth.theory.parameters import PARAMETERS

# Arguments that every bound is defined for.
PLAIN = {
    "d": 3, "c_in": 4, "c_out": 2, "depth": 3, "D": 2, "k": 5, "weights": 72, "units": 8, "eps": 0.1, "delta": 0.25,
    "precision": 0.01, "z": 0.5, "norm": 0.9, "law": "uniform",
}  # fmt: skip
WITHOUT_FORMULA = {"malach2020", "orseau2020", "burkholz2022", "otsuka2025"}
Slth = Callable[..., tuple[int, str, str]]


def plain(key: str, **change: Any) -> dict[str, Any]:
    names = [name for name, needed in BOUNDS[key].parameters.items() if needed]
    return {**{name: PLAIN[name] for name in names}, **change}


def value(key: str, **arguments: Any) -> float:
    """The number of a bound that has one."""
    found = compute(key, **arguments).value
    assert found is not None
    return found


@pytest.fixture(name="slth")
def _slth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slth:
    return lambda *arguments: run(capsys, monkeypatch, *map(str, arguments))


@pytest.mark.parametrize("key", BOUNDS)
def test_every_bound_is_complete(key: str) -> None:
    rule = BOUNDS[key]
    assert set(rule.parameters) <= set(PARAMETERS)
    assert rule.title.endswith(".")
    bound = compute(key, **plain(key))
    assert bound.reference == rule.source
    assert bound.reference in REFERENCES
    assert bound.direction in ("sufficient", "necessary", "sharp", "measured")
    assert not bound.violations
    assert bound.quantity


@pytest.mark.parametrize("key", [key for key, rule in BOUNDS.items() if rule.reference.constant == "unspecified"])
def test_an_unspecified_constant_is_never_a_bare_number(key: str) -> None:
    bound = compute(key, **plain(key))
    assert bound.value is None
    assert any(letter in str(bound) for letter in ("C", "poly(", "formula not recorded"))
    if key in WITHOUT_FORMULA:
        assert not BOUNDS[key].has_constant
        with pytest.raises(InputError, match="not recorded as a formula"):
            compute(key, constant=1.0, **plain(key))
        return
    for constant in (1.0, 2.5):
        assert value(key, constant=constant, **plain(key)) > 0
        assert str(compute(key, constant=constant, **plain(key))).endswith(f"with C = {constant:g} assumed")
    # larger constants, larger widths
    assert value(key, constant=1.0, **plain(key)) <= value(key, constant=2.5, **plain(key))


@pytest.mark.parametrize("key", [key for key, rule in BOUNDS.items() if rule.reference.constant != "unspecified"])
def test_known_constants_give_numbers(key: str) -> None:
    bound = compute(key, **plain(key))
    assert bound.value is not None
    assert BOUNDS[key].reference.constant in ("explicit", "fitted")
    if BOUNDS[key].reference.constant == "fitted":
        assert str(bound).endswith("with fitted c = 0.35")
        assert str(compute(key, constant=0.7, **plain(key))).endswith("with c = 0.7 given")
    else:
        with pytest.raises(InputError, match="is explicit: there is no constant to assume"):
            compute(key, constant=1.0, **plain(key))


@pytest.mark.parametrize(
    ("key", "arguments", "expected"),
    [
        ("dacunha2023", {"d": 2, "c_in": 3, "c_out": 5, "depth": 7, "eps": 0.1}, 2**12 * 5**6 * math.log(4200) ** 3),
        ("nsn_mrss", {"D": 2, "eps": 0.25}, (8 * math.log(8)) ** 2),
        ("becchetti2022", {"D": 3, "eps": 0.5}, 27 * math.log(2) * math.log(6)),
        ("lueker1998", {"eps": 0.01}, math.log(100)),
        ("dacunha2023rss", {"eps": 0.01}, math.log(100)),
        ("pensia2020", {"c_in": 10, "c_out": 3, "eps": 0.1}, 10 * math.log(600)),
        ("dacunha2022cnn", {"weights": 50, "depth": 4, "eps": 0.1, "delta": 0.01}, 50 * math.log(20000)),
        ("kumar2025", {"units": 9, "precision": 0.125}, 9 * math.log(8)),
        ("kumar2025_lower", {"units": 9, "precision": 0.125}, 81 * math.log(8)),
        ("ferre2026_neurons", {"eps": 0.02}, 50),
        ("ferre2026_weights", {"eps": 0.02}, math.log(50)),
    ],
)
def test_formulas_by_hand(key: str, arguments: dict[str, Any], expected: float) -> None:
    assert compute(key, constant=1.0, **arguments).value == pytest.approx(expected, rel=1e-12)
    power = 2 if key == "nsn_mrss" else 1
    assert compute(key, constant=3.0, **arguments).value == pytest.approx(3**power * expected, rel=1e-12)


def test_the_papers_form_at_the_trial_figures() -> None:
    """D⁶·log³(D/ε) with C = 1, as published trial figures round it."""
    for D, eps, shown in ((1, 0.01, "98"), (4, 0.01, "8.8e5"), (9, 0.01, "1.7e8"), (25, 0.1, "4.1e10")):
        found = value("dacunha2023", d=1, c_in=1, c_out=D, depth=1, eps=eps, constant=1.0)
        assert found == pytest.approx(float(shown), rel=0.02)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("k", [1, 5, 400])
@pytest.mark.parametrize("constant", [0.01, 1.0, 3.0])
def test_natale2024_is_the_least(k: int, constant: float, power: int) -> None:
    key = "natale2024" if power == 1 else "natale2024_uniform"
    n = value(key, k=k, eps=0.01, constant=constant)

    def holds(n: float) -> bool:
        p = k / n
        entropy = -p * math.log2(p) - (1 - p) * math.log1p(-p) / math.log(2)
        return bool(n * entropy >= constant * math.log2(k / 0.01) ** power * (1 - 1e-12))

    assert n >= 2 * k
    assert holds(n)
    assert n == 2 * k or not holds(n - 1) or n > 1e9  # beyond, n − 1 and n differ by less than the rounding


@pytest.mark.parametrize(("D", "eps", "constant"), [(1, 1e-6, 1.0), (9, 0.01, 1.0), (9, 0.9, 0.001), (300, 0.1, 5.0)])
def test_npp_is_the_least(D: int, eps: float, constant: float) -> None:
    n = value("npp", D=D, eps=eps, constant=constant)
    assert constant * math.sqrt(n) * 2 ** (-n / D) <= eps
    peak = max(1, D / (2 * math.log(2)))
    assert n - 1 < peak or constant * math.sqrt(n - 1) * 2 ** (-(n - 1) / D) > eps


@pytest.mark.parametrize(("c_out", "depth", "eps", "delta"), [(2, 3, 0.3, 0.25), (1, 1, 0.9, 0.5), (40, 8, 0.1, 0.001)])
def test_plantnseek2022_is_the_least(c_out: int, depth: int, eps: float, delta: float) -> None:
    n = value("plantnseek2022", d=2, c_in=1, c_out=c_out, depth=depth, eps=eps, delta=delta)

    def probability(n: float) -> float:
        return float(max(0.0, 1 - c_out * math.exp(n * math.log1p(-(eps**4)))) ** depth)

    assert probability(n) >= 1 - delta
    assert probability(n - 1) < 1 - delta


def test_plantnseek2022_beyond_float64_keeps_its_size() -> None:
    bound = compute("plantnseek2022", d=5, c_in=20, c_out=1, depth=1, eps=0.01, delta=1 / math.e)
    assert bound.value is None
    assert str(bound) == "1.00e1000"  # n·ε^500 = 1


def test_first_moment_is_the_threshold() -> None:
    bound = compute("first_moment", D=4, eps=0.01)
    assert bound.value == thresholds.width(D=4, eps=0.01, z=0.5, count=0.5).n
    assert bound.direction == "necessary"
    assert value("first_moment", D=4, eps=0.01, delta=0.01) >= bound.value


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("nsn_mrss", {"eps": 0.26}, r"ε ≤ 1/4 \(got 0.26\)"),
        ("becchetti2022", {"eps": 1.5}, r"ε < 1 \(got 1.5\)"),
        ("dacunha2023", {"norm": 1.5}, r"‖K‖₁ ≤ 1 \(got 1.5\)"),
        ("pensia2020", {"d": 3}, r"a linear layer, d = 1 \(got 3\)"),
        ("lueker1998", {"D": 4}, r"D = 1 \(got 4\)"),
        ("natale2024", {"eps": 2.0}, r"ε < 1 \(got 2\)"),
        ("kumar2025", {"precision": 2.0}, r"δ < 1 \(got 2\)"),
        ("plantnseek2022", {"eps": 1.0}, r"ε < 1 \(got 1\)"),
        ("npp", {"eps": 3.0}, r"ε < 1 \(got 3\)"),
    ],
)
def test_broken_hypotheses_are_named_and_leave_no_number(key: str, change: dict[str, Any], words: str) -> None:
    constant = 1.0 if BOUNDS[key].has_constant else None
    bound = compute(key, constant=constant, **plain(key, **change))
    assert bound.value is None
    assert len(bound.violations) == 1
    with pytest.raises(AssertionError, match=f"does not apply: needs .*{words}"):
        raise AssertionError(str(bound))


def test_a_quarter_is_still_allowed() -> None:
    assert compute("nsn_mrss", D=1, eps=0.25, constant=1.0).value is not None


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("becchetti2022", {"eps": 0.0}, "eps must be a finite number > 0; got 0.0. It is the tolerance"),
        ("becchetti2022", {"eps": -0.1}, "eps must be"),
        ("becchetti2022", {"D": 0}, "D must be an integer between 1 and 1000000000; got 0"),
        ("becchetti2022", {"D": 2.5}, "D must be an integer"),
        ("becchetti2022", {"constant": 0.0}, "constant must be a finite number > 0"),
        ("becchetti2022", {"c_out": 3}, "becchetti2022 has no argument c_out; it takes D, eps"),
        ("becchetti2022", {"constant": 1e308}, "becchetti2022 overflows float64"),
        ("relax_scaling", {"eps": 1e-307, "D": 10**9}, "relax_scaling overflows float64"),
        ("natale2024", {"k": 1, "constant": 1000.0}, "natale2024 overflows"),
        (
            "dacunha2022cnn",
            {"delta": 1.0},
            "delta must lie between 1e-300 and 1; got 1.0. It is the failure probability",
        ),
        ("dacunha2022cnn", {"delta": 0.0}, "delta must be a finite number > 0"),
        ("dacunha2023", {"c_out": 10**10}, "c_out must be an integer between 1 and 1000000000"),
        ("first_moment", {"law": "cauchy"}, "law must be one of nsn"),
        ("first_moment", {"D": 10**6, "eps": 1e-9}, "above n = 200,000"),
        ("nothing", {}, "key must be one of dacunha2023"),
    ],
)
def test_arguments_that_make_no_sense_are_errors(key: str, change: dict[str, Any], words: str) -> None:
    given = plain(key, **change) if key in BOUNDS else change
    with pytest.raises(InputError, match=words):
        compute(key, **given)


def test_missing_arguments_are_named_with_their_meaning() -> None:
    with pytest.raises(InputError, match=r"takes D, eps; D must be given \(D: dimension of one subset sum"):
        compute("becchetti2022", eps=0.1)


def test_a_layer_gives_each_bound_its_own_tolerance() -> None:
    layer = Layer(d=3, c_in=4, c_out=2, depth=5, eps=0.1, delta=0.01, k=6)
    assert layer.tolerance == pytest.approx(0.1 / 10 / 36)
    found = {entry.key: entry.bound for entry in for_layer(layer, constant=1.0)}
    assert set(found) == {key for key, rule in BOUNDS.items() if rule.scope != "other"}
    assert found["dacunha2023"] == compute("dacunha2023", d=3, c_in=4, c_out=2, depth=5, eps=0.1, constant=1.0)
    assert found["nsn_mrss"] == compute("nsn_mrss", D=18, eps=layer.tolerance, constant=1.0)
    assert found["natale2024"] == compute("natale2024", D=1, k=6, eps=layer.tolerance, constant=1.0)
    assert found["ferre2026_neurons"] == compute("ferre2026_neurons", eps=0.01, constant=1.0)
    assert str(found["relax_scaling"]).endswith("with fitted c = 0.35")
    assert found["pensia2020"] is not None
    assert found["pensia2020"].violations


def test_what_a_layer_cannot_be_asked_is_noted() -> None:
    notes = {
        entry.key: entry.note for entry in for_layer(Layer(d=1, c_in=1, c_out=20_000, depth=1, eps=1e-9, delta=0.1))
    }
    assert "k must be given" in notes["natale2024"]
    assert "above n = 200,000" in notes["first_moment"]
    with pytest.raises(InputError, match="depth must be"):
        Layer(d=1, c_in=1, c_out=1, depth=0, eps=0.1, delta=0.1)
    with pytest.raises(InputError, match="constant must be"):
        compute("lueker1998", eps=0.1, constant=-1.0)


def test_numbers_read_well() -> None:
    shown = {0: "0", 7.0: "7", 97.66: "97.7", 1234.4: "1,234", 881234.0: "8.81e5", 1e-5: "1.00e-5", math.inf: "inf"}
    assert {value: format_number(value) for value in shown} == shown
    assert format_exponential(math.log(97.66)) == "97.7"
    assert format_exponential(1000 * math.log(10)) == "1.00e1000"


def test_the_module_docstring_tells_the_truth() -> None:
    text = bounds.__doc__ or ""
    for call, shown in [line.split("\n")[:2] for line in text.split(">>> print(")[1:]]:
        assert str(eval(call.removesuffix(")"), {"compute": compute})) == shown


def test_bounds_command_needs_no_torch() -> None:
    code = (
        "import sys; from slth.cli.app import main\n"
        "sys.argv = ['slth', 'bounds', 'layer', '--c-in', '1', '--c-out', '4']\n"
        "try: main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "first_moment" in out
    assert out.strip().endswith("False")


def test_list_and_show(slth: Slth) -> None:
    code, text, _ = slth("bounds", "list", "--json")
    assert code == 0
    listed = {one["key"]: one for one in json.loads(text)}
    assert set(listed) == set(BOUNDS)
    assert listed["dacunha2023"]["checked"] == "no, from memory"
    code, text, _ = slth("bounds", "list")
    assert "E[number of solutions]" in text  # brackets are text, not markup
    for key in BOUNDS:
        code, text, _ = slth("bounds", "show", key)
        assert code == 0
        assert BOUNDS[key].reference.authors[:20] in text
    code, _, err = slth("bounds", "show", "nothing")
    assert (code, len(err.strip().splitlines())) == (1, 1)


def test_compute_on_the_command_line(slth: Slth) -> None:
    call = ("bounds", "compute", "dacunha2023", "--d", 3, "--c-in", 1, "--c-out", 16, "--depth", 2, "--eps", 0.1)
    code, text, _ = slth(*call, "--json")
    record = json.loads(text)
    assert (code, record["value"], record["text"]) == (0, None, record["form"])
    code, text, _ = slth(*call, "--constant", 1)
    assert "with C = 1 assumed" in text
    code, text, _ = slth(*call, "--constant", 1, "--json")
    assert (
        json.loads(text)["value"] == compute("dacunha2023", d=3, c_in=1, c_out=16, depth=2, eps=0.1, constant=1.0).value
    )
    code, text, _ = slth("bounds", "compute", "first_moment", "--D", 4, "--eps", 0.01)
    assert "35" in text
    for arguments, words in (
        (("nsn_mrss", "--D", 4, "--eps", 0.3), "needs ε ≤ 1/4 (got 0.3)"),
        (("nsn_mrss", "--D", 4), "eps must be given"),
        (("nsn_mrss", "--D", 0, "--eps", 0.1), "D must be an integer"),
        (("nsn_mrss", "--D", 1, "--eps", 0.1, "--units", 3), "no argument units"),
    ):
        code, out, err = slth("bounds", "compute", *arguments)
        assert (code, out) == (1, "")
        assert words in err
        assert len(err.strip().splitlines()) == 1


def test_layer_and_network_on_the_command_line(slth: Slth, tmp_path: Path) -> None:
    code, text, _ = slth("bounds", "layer", "--d", 5, "--c-in", 6, "--c-out", 16, "--depth", 5, "--eps", 0.1)
    assert code == 0
    assert "C · 6.55e18" in text
    code, text, _ = slth("bounds", "layer", "--c-in", 6, "--c-out", 16, "--json")
    assert json.loads(text)["bounds"]["pensia2020"]["value"] is None
    code, text, _ = slth("bounds", "network", "--arch", "digits", "--json")
    layers = {one["name"]: one for one in json.loads(text)["layers"]}
    assert {name: one["D"] for name, one in layers.items()} == {"conv1": 54, "conv2": 108, "fc1": 32, "fc2": 10}
    assert layers["conv1"]["norm"] is None
    model = models.digits_cnn()
    torch.nn.init.constant_(model.get_parameter("conv2.weight"), 0.01)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    code, text, _ = slth("bounds", "network", "--arch", "digits", "--weights", tmp_path / "w.safetensors")
    assert "conv2, dacunha2023: kernels with ‖K‖₁ ≤ 1 (got 6.48)" in text
    code, _, err = slth("bounds", "network", "--arch", "nothing")
    assert code == 1
    assert "--arch must be one of lenet5" in err


def test_plot_draws_every_bound_with_its_constant(slth: Slth, tmp_path: Path) -> None:
    code, _, _ = slth("bounds", "plot", "--D", 2, "--out", tmp_path / "b.png")
    assert code == 0
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    drawn = bound_curves(2, 0.5, 1.0)
    ax = figures.width_against_eps(eps=PLOT_EPS, curves=drawn, dimension=2)
    assert isinstance(ax, Axes)
    labels = [str(line.get_label()) for line in ax.get_lines()]
    assert labels == list(drawn)
    assert all("explicit" in label or "assumed" in label or "fitted" in label for label in labels)
    for values in drawn.values():
        known = [value for value in values if not math.isnan(value)]  # the certified width ends at ε = 1/4
        assert len(known) >= len(values) - 1
        assert all(b >= a for a, b in itertools.pairwise(known))  # a smaller ε never needs fewer
    code, _, err = slth("bounds", "plot", "--out", tmp_path / "b.pdf")
    assert code == 1
    assert "must be a .png" in err


def test_bounds_are_frozen() -> None:
    bound: Bound = compute("lueker1998", eps=0.1)
    with pytest.raises(AttributeError):
        bound.value = 3.0  # type: ignore[misc]
