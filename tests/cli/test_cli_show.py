"""What the command line prints cannot command the terminal."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run

import slth.cli
from slth import load_ticket
from slth.cli import show
from slth.cli.show import echo, echo_json, echo_news, table
from slth.text import printable
from slth.tickets import Ticket, Verification

Command = Callable[..., tuple[int, str, str]]
HOSTILE = "a\x1b[31mred\x1b[0m\u202eb\x9b2J\x7f\u2066"
ESCAPED = r"a\x1b[31mred\x1b[0m\u202eb\x9b2J\x7f\u2066"


@pytest.fixture(name="slth")
def _slth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return lambda *arguments: run(capsys, monkeypatch, *map(str, arguments))


def test_every_control_character_becomes_an_escape() -> None:
    controls = [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0xDC80]
    for code in controls:
        assert printable(chr(code)).isascii()
        assert printable(chr(code)).startswith("\\")
    assert printable("two\nlines") == r"two\nlines"
    assert printable("two\nlines\r", newlines=True) == "two\nlines\\r"


@pytest.mark.parametrize("text", ["", "conv1", "größer ≤ ε 数字", "C:\\new", "a\u00a0b"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_every_way_to_print_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    table((HOSTILE, "n"), [(HOSTILE, "[red]1")])
    printed = capsys.readouterr().out
    assert printed.count(ESCAPED) == 2
    assert "[red]1" in printed
    for way in (echo, echo_news):
        way(HOSTILE)
        assert capsys.readouterr().out == f"{ESCAPED}\n"
    echo_json({"name": HOSTILE})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {"name": HOSTILE}


def test_commands_print_with_these_alone() -> None:
    folder = Path(str(slth.cli.__file__)).parent
    for path in folder.glob("*.py"):
        if path.samefile(str(show.__file__)):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("print", "typer.echo", "typer.secho", "console.print"), path


def test_hostile_text_from_a_ticket(
    slth: Command, digits_ticket: Ticket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = digits_ticket.save(tmp_path / f"{HOSTILE}.slth")
    code, out, _ = slth("ticket", "show", file, "--no-cost")
    assert code == 0
    assert f"{ESCAPED}.slth" in out
    assert "\x1b" not in out

    def failing(self: Ticket, images: object = None, **_: object) -> Verification:
        return Verification(channels=0, instances=0, failures=(f"layer {HOSTILE}: wrong",))

    monkeypatch.setattr(type(load_ticket(file)), "verify", failing)
    code, out, err = slth("ticket", "verify", file)
    assert (code, out, err) == (1, "", f"error: layer {ESCAPED}: wrong\n")


def test_hostile_text_in_errors(slth: Command, tmp_path: Path) -> None:
    code, _, err = slth("ticket", "verify", tmp_path / f"{HOSTILE}.slth")
    assert code == 1
    assert f"{ESCAPED}.slth" in err
    assert len(err.splitlines()) == 1
    code, _, err = slth("ticket", f"--{HOSTILE}")
    assert code == 2
    assert "\u202e" not in err
    assert "\x1b" not in err
