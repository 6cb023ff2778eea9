"""Checks of a ticket: exact verification, accuracy on data, and the cost of running it."""
