"""Calibration: unlabelled inputs weigh the errors of a ticket, and correct the goals of its subset sums."""
