"""Checks of the lemmas slth relies on, each beside a false variant: ``python -m proofs_check`` or ``slth proofs``."""
