"""Data sets: scikit-learn's digits (bundled), and IDX files (MNIST and its kin) by path."""

from slth.data.sets import Split, available, data_folder, load, read_idx

__all__ = ["Split", "available", "data_folder", "load", "read_idx"]
