"""Checks of a ticket: verification, accuracy and cost."""
