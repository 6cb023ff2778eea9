"""What the process of an integer solver runs: ``python -m slth.rss.integer_child FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from slth.errors import InputError
from slth.rss.integer import MODELS
from slth.rss.integer_process import read_question, write_answer


def main(folder: Path) -> None:
    """Answer the question in a folder.

    Args:
        folder: where the question is, and the answer goes.
    """
    problem, control, solver = read_question(folder)
    try:
        write_answer(folder, MODELS[solver](problem, control))
    except InputError as refusal:
        write_answer(folder, None, str(refusal))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
