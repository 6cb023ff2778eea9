"""Functions in a user's file: real projects import their neighbours, and files go wrong in every way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from slth.errors import InputError
from slth.user_code import call


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that imports its neighbour, at the top and inside a function."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "neighbour_of_a_user.py").write_text("NUMBER = 3\n")
    (tmp_path / "mine.py").write_text(
        "from neighbour_of_a_user import NUMBER\nimport sys\n"
        "def make(factor=1):\n"
        "    from neighbour_of_a_user import NUMBER as again\n    return factor * (NUMBER + again)\n"
        "def leave():\n    sys.exit(4)\n"
        "def fail():\n    raise KeyError('one\\ntwo')\n"
        "NOT_A_FUNCTION = 3\n"
    )
    return tmp_path / "mine.py"


def test_a_neighbour_is_found(project: Path) -> None:
    assert call(f"{project}:make", "--model") == 6
    assert call(f"{project}:make", "--model", 10) == 60


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("leave", r"mine\.py:leave called sys\.exit\(4\)\. --model needs a function that returns\.$"),
        ("fail", r"failed: KeyError: 'one\\ntwo'\. Run it in Python"),
        ("mke", r"names the function 'mke', which mine\.py does not have\. Did you mean 'make'\?$"),
        ("zzz", r"does not have\. It has: make, leave, fail\.$"),
        ("NOT_A_FUNCTION", r"does not have\. "),
        ("", "must be path.py:function"),
    ],
)
def test_what_goes_wrong_is_one_line(project: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        call(f"{project}:{name}", "--model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["def broken(:\n", "import no_such_module_at_all\n", "\0", "x = 1 / 0\n"])
def test_a_file_that_cannot_run(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "bad.py").write_text(content)
    with pytest.raises(InputError, match=r"bad\.py:f failed: \w+: ") as caught:
        call(f"{tmp_path / 'bad.py'}:f", "--model")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("def f(): ...\n")
    with pytest.raises(InputError, match=r"with a Python file; got .*\. Name a file in \.py\.$"):
        call(f"{tmp_path / 'model.txt'}:f", "--model")
