"""Data sets in memory: digits (bundled), IDX files, CIFAR's official files, and data sets from a user's code."""

from slth.data.sets import available, data_folder, load, read_idx
from slth.data.split import Split, from_dataset, held_out, subset

__all__ = ["Split", "available", "data_folder", "from_dataset", "held_out", "load", "read_idx", "subset"]
