"""``python -m proofs_check``: run every lemma's check and its negative control; exit 1 if any fails."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from proofs_check.run import choose, no_match, run


def main() -> None:
    """Print a table (or JSON) of verdicts, each as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m proofs_check", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", metavar="TEXT", help="only lemmas whose name or file contains TEXT")
    parser.add_argument("--quick", action="store_true", help="fewer cases and trials: under 40 seconds")
    options = parser.parse_args()
    lemmas = choose(options.only)
    if not lemmas:
        print(f"error: {no_match(options.only)}", file=sys.stderr)
        sys.exit(1)
    verdicts = []
    if not options.json:
        print(f"{'lemma':44}{'kind':13}{'verdict':9}{'control':10}{'margin':>10}{'seconds':>9}")
    for v in run(lemmas, quick=options.quick):
        verdicts.append(v)
        if not options.json:
            row = f"{v.lemma:44}{v.kind:13}{v.verdict:9}{v.control:10}{v.margin:10.3g}{v.seconds:9.2f}"
            print(f"{row}  {v.note}".rstrip(), flush=True)
    if options.json:
        print(json.dumps({"checks": [asdict(verdict) for verdict in verdicts]}, indent=2))
    sys.exit(0 if all(verdict.ok for verdict in verdicts) else 1)


if __name__ == "__main__":
    main()
