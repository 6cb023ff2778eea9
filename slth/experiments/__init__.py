"""Experiments: studies, the contest of methods, the statistics of their rows, and the engine that runs them."""
