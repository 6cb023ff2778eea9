"""Benchmarks: each prints tables and writes a JSON file with its results and the environment."""
