"""Tracing: what a torch model computes on an example input, as steps of registered operations and stored numbers."""
