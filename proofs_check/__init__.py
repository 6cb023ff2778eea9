"""Numerical checks of the lemmas slth relies on: ``python -m proofs_check``."""
