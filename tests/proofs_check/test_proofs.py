"""Every lemma holds, every false variant is rejected, and a check that cannot run or cannot fail is never a pass."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run

from proofs_check.__main__ import main as module_main
from proofs_check.check import Lemma, judge
from proofs_check.run import FILES, LEMMAS, choose
from slth.cli.app import app

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "proofs_check"
KINDS = ("symbolic", "rigorous", "exhaustive", "statistical")


# Seeds are fixed, so the outcome is; their docstrings state how likely another seed would have raised a false alarm.
@pytest.mark.parametrize("lemma", LEMMAS.values(), ids=LEMMAS)
def test_lemma_holds_and_its_false_variant_is_rejected(lemma: Lemma) -> None:
    verdict = judge(lemma, quick=True)
    assert verdict.ok, verdict
    assert lemma.kind in KINDS
    assert lemma.establishes


def test_a_check_that_cannot_fail_is_caught() -> None:
    verdict = judge(Lemma(name="empty", kind="exhaustive", margin=lambda _: 1.0, establishes="nothing"))
    assert verdict.control == "passed"
    assert not verdict.ok


def test_a_check_that_fails_is_a_failure() -> None:
    verdict = judge(Lemma(name="false", kind="exhaustive", margin=lambda _: -1.0, establishes="nothing"))
    assert (verdict.verdict, verdict.control, verdict.ok) == ("fail", "rejected", False)


def test_without_sympy_symbolic_checks_fail_and_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sympy", None)
    symbolic = [lemma for lemma in LEMMAS.values() if lemma.kind == "symbolic"]
    assert symbolic
    for lemma in symbolic:
        verdict = judge(lemma)
        assert (verdict.verdict, verdict.control) == ("fail", "not run")
        assert "pip install 'slth[proofs]'" in verdict.note


def test_another_missing_module_is_a_bug_and_not_a_verdict() -> None:
    def margin(false_variant: bool) -> float:
        raise ModuleNotFoundError("no module named scipy", name="scipy")

    with pytest.raises(ModuleNotFoundError, match="scipy"):
        judge(Lemma(name="broken", kind="symbolic", margin=margin, establishes="nothing"))


def test_every_file_is_run_and_says_what_it_does() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "__main__", "check", "run"}
    assert files == set(FILES)
    for name in files:
        text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")))
        assert text is not None, name
        assert "False variant:" in text.replace("\n", " ").replace("  ", " "), name


def test_the_proof_names_checks_that_exist() -> None:
    table = (FOLDER / "certified_width.md").read_text(encoding="utf-8").split("| line | check")[1]
    named = set(re.findall(r"`(\w+)`", table)) - {"proofs_check"}
    assert named <= set(FILES)
    assert len(named) > 10


def test_choose_by_name_or_file() -> None:
    assert choose("chi-square") == choose("chi_square_tails") == [LEMMAS["chi_square_tails"]]
    assert choose("no such lemma") == []


def test_the_module_prints_json_and_refuses_unknown_names() -> None:
    command = [sys.executable, "-m", "proofs_check"]
    done = subprocess.run([*command, "--json", "--only", "block"], capture_output=True, text=True, cwd=ROOT)
    (check,) = json.loads(done.stdout)["checks"]
    assert done.returncode == 0
    assert (check["kind"], check["verdict"], check["control"]) == ("exhaustive", "pass", "rejected")
    done = subprocess.run([*command, "--only", "nothing"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "--only must match a lemma; got 'nothing'" in done.stderr


def test_both_commands_print_the_same_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A margin and a missing module in one table; only the wall time differs from run to run."""

    def needs_sympy(false_variant: bool) -> float:
        raise ModuleNotFoundError("no module named sympy", name="sympy")

    lemma = Lemma(name="symbolic block", kind="symbolic", margin=needs_sympy, establishes="nothing")
    monkeypatch.setitem(LEMMAS, "kernel_symbolic", lemma)
    monkeypatch.setattr(sys, "argv", ["proofs_check", "--only", "block", "--quick"])
    with pytest.raises(SystemExit) as stopped:
        module_main()
    by_module = capsys.readouterr().out
    code, by_command, _ = run(capsys, monkeypatch, "proofs", "--only", "block", "--quick")
    assert stopped.value.code == code == 1

    def without_time(text: str) -> list[str]:
        return [re.sub(r" +\d+\.\d\d(?=  |$)", "", line) for line in text.splitlines()]

    assert without_time(by_command) == without_time(by_module)
    header, symbolic, block = without_time(by_command)
    assert header.split() == ["lemma", "kind", "verdict", "control", "margin", "seconds"]
    assert symbolic.endswith("sympy is not installed: pip install 'slth[proofs]'")
    assert block.split() == ["block", "amplification", "exhaustive", "pass", "rejected", "1"]


def test_the_command_refuses_unknown_names(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run(capsys, monkeypatch, "proofs", "--only", "nothing")
    assert (code, out) == (1, "")
    assert err.startswith("error: --only must match a lemma; got 'nothing'. They are: nsn_moments, ")


def test_the_command_fails_when_a_lemma_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    runner = CliRunner()
    shown = runner.invoke(app, ["proofs", "--only", "block"])
    assert shown.exit_code == 0
    assert "rejected" in shown.stdout
    false = Lemma(name="block amplification", kind="exhaustive", margin=lambda _: 1.0, establishes="nothing")
    monkeypatch.setitem(LEMMAS, "block_amplification", false)
    failed = runner.invoke(app, ["proofs", "--only", "block", "--json"])
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["checks"][0]["control"] == "passed"
