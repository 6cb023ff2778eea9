"""The command line, called in this process."""

from __future__ import annotations

import sys

import pytest

from slth.cli import app as cli


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``slth arguments``."""
    monkeypatch.setattr(sys, "argv", ["slth", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err
