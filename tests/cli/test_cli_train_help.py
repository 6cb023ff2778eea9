"""slth train METHOD --help shows what can be set of the method, and what it shows is what the method takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from command_line import run

from slth.errors import InputError
from slth.experiments.contest.catalogue import SUMMARIES
from slth.experiments.contest.methods import METHODS, SETTINGS
from slth.experiments.contest.options import Option, read_options

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="slth")
def _slth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return lambda *words: run(capsys, monkeypatch, *words)


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_every_option_with_its_default_and_meaning(method: str, slth: Command) -> None:
    for words in (("train", method, "--help"), ("train", "--json", "--out", "imp", method, "--help")):
        code, out, _ = slth(*words)
        assert code == 0
        _, _, shown = out.partition(f"\n{method}: {SUMMARIES[method]}\n")
        settings = SETTINGS[method]
        for option in settings.options:
            assert option.meaning[0].isalpha() or option.meaning[0] in "(λσ"
            assert re.search(rf"^{option.name} +\S", shown, re.MULTILINE)
        assert ("Its recipe:" in shown) == (settings.recipe is not None)
        assert ("no options of its own" in shown) == (not settings.options)
        if settings.recipe is not None:
            assert re.search(rf"^learning_rate +{json.dumps(settings.recipe.learning_rate)} ", shown, re.MULTILINE)


def test_help_without_a_method_names_none_and_marks_what_is_required(slth: Command) -> None:
    for words in (("train", "--help"), ("train", "nope", "--help")):
        code, out, _ = slth(*words)
        assert code == 0
        assert "Its recipe:" not in out
        assert "[required, but for" in re.sub(r"\s+│?\s*│?\s*", " ", out)


@pytest.mark.parametrize("method", METHODS)
def test_what_the_help_does_not_show_is_refused(method: str) -> None:
    settings = SETTINGS[method]
    settings.check({one.name: one.default for one in settings.options}, {})
    with pytest.raises(InputError, match="option"):
        settings.check({"no_such_option": 1}, {})
    if settings.recipe is None:
        with pytest.raises(InputError, match="does not train"):
            settings.check({}, {"batch": 3})


def test_options_are_read_from_signature_and_docstring() -> None:
    def search(job: object, *, first: int = 3, second: str = "a") -> None:
        """Search.

        Args:
            job: filled in.
            first: a number; see :func:`slth.rss.solve`.
            second: a text of
                two lines, as :class:`slth.Problem` has.

        Raises:
            InputError: never.
        """

    assert read_options(search, second="b") == (
        Option(name="first", default=3, meaning="a number."),
        Option(name="second", default="b", meaning="a text of two lines, as slth.Problem has."),
    )
    assert set(SETTINGS) == set(METHODS)
