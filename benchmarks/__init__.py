"""Benchmarks: speed and memory, each a table and a JSON file with the environment."""
