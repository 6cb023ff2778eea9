"""Experiments: what is run with the toolkit, from the demo on."""
