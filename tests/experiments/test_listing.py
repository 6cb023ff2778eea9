"""Lists that the command line prints at once: they are what the studies and methods are, and import nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from slth.experiments.engine.listing import make_listing, read_listing


def test_the_kept_list_is_the_computed_one() -> None:
    """After a change of a spec: python -m slth.experiments.engine.listing."""
    assert read_listing() == make_listing()


@pytest.mark.parametrize("command", [("study", "list"), ("train", "list"), ("data", "list"), ("train", "nope"), ()])
def test_lists_import_nothing_heavy(command: tuple[str, ...]) -> None:
    code = (
        f"import sys\nsys.argv = ['slth', *{command!r}]\nfrom slth.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('heavy:', sorted({'torch', 'scipy', 'matplotlib', 'numba'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("heavy: []")
