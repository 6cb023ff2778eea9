"""``python -m proofs_check``: run every lemma's check and its negative control; exit 1 if any fails."""

from __future__ import annotations

import argparse
import sys

from proofs_check.run import run_and_print


def main() -> None:
    """Parse the arguments, run the checks, print their verdicts and exit."""
    parser = argparse.ArgumentParser(prog="python -m proofs_check", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", metavar="TEXT", help="only lemmas whose name or file contains TEXT")
    parser.add_argument("--quick", action="store_true", help="fewer cases and trials: under 40 seconds")
    options = parser.parse_args()
    sys.exit(run_and_print(options.only, quick=options.quick, as_json=options.json))


if __name__ == "__main__":
    main()
