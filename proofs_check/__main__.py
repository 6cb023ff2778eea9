"""``python -m proofs_check [--json]``: run every lemma's check and its negative control; exit 1 if any fails."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from proofs_check import homogeneity, kernel_pruning, propagation
from proofs_check.check import judge

LEMMAS = (kernel_pruning.LEMMA, propagation.LEMMA, homogeneity.LEMMA)


def main() -> None:
    """Print a table (or JSON) of verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    verdicts = [judge(lemma) for lemma in LEMMAS]
    if options.json:
        print(json.dumps({"checks": [asdict(verdict) for verdict in verdicts]}, indent=2))
    else:
        print(f"{'lemma':32}{'kind':14}{'verdict':9}{'control':10}{'margin':>10}{'seconds':>9}")
        for v in verdicts:
            print(f"{v.lemma:32}{v.kind:14}{v.verdict:9}{v.control:10}{v.margin:10.3g}{v.seconds:9.2f}")
    sys.exit(0 if all(verdict.ok for verdict in verdicts) else 1)


if __name__ == "__main__":
    main()
