"""Images of a contest: the same training, validation and test images for every method and every seed."""

from __future__ import annotations

import functools

import torch

from slth import data as datasets
from slth.data import Split, corruptions
from slth.errors import InputError


@functools.lru_cache(maxsize=4)
def training_data(name: str, examples: int | None, validation: int) -> tuple[Split, Split | None]:
    """Training and validation images of a data set.

    Args:
        name: of the data set.
        examples: how many training images; None for all that are left after the validation images.
        validation: how many of the training images are held out; 0 for none.

    Returns:
        (training, validation); the latter is None without validation images.

    Raises:
        InputError: there are fewer images than asked for, they show one class alone or lack a class of the test images,
            or the data set has one split only.
        DataError: there is no such data set.
    """
    whole, test = datasets.load(name, "train"), test_data(name, None)
    if torch.equal(whole.images, test.images):
        raise InputError(
            f"{name} has one split: it would be tested on what it was trained on. Choose data with training and test "
            "images apart."
        )
    rest, held = datasets.held_out(whole, validation, seed=0) if validation else (whole, None)
    data = datasets.subset(rest, examples, seed=1)
    classes = sorted(set(data.labels.tolist()))
    if len(classes) < 2 or classes[0] < 0 or int(test.labels.max()) >= data.classes:
        raise InputError(
            f"training images must show two classes at least, and every class of the test images; got labels "
            f"{classes[0]} to {classes[-1]} for training and {int(test.labels.min())} to "
            f"{int(test.labels.max())} for testing. Check the labels, or take more examples."
        )
    return data, held


@functools.lru_cache(maxsize=4)
def test_data(name: str, count: int | None) -> Split:
    """The first test images of a data set.

    Args:
        name: of the data set.
        count: how many; None for all, as is any number larger than that of the test images.

    Returns:
        Images and labels.
    """
    whole = datasets.load(name, "test")
    return whole if count is None else whole[: min(count, len(whole))]


def unknown_data(name: str, known: str) -> Split:
    """Test images of a data set that the network was not trained on.

    Args:
        name: of that data set.
        known: the data set that the network was trained on.

    Returns:
        Images and labels.

    Raises:
        InputError: the images of the two have different shapes.
    """
    unknown, ours = test_data(name, None), test_data(known, None)
    if unknown.images.shape[1:] != ours.images.shape[1:]:
        raise InputError(
            f"unknown inputs must have the shape of the known ones, {tuple(ours.images.shape[1:])}; "
            f"{name} has {tuple(unknown.images.shape[1:])}. Choose another data set."
        )
    return unknown


@functools.lru_cache(maxsize=8)
def corrupted_data(name: str, count: int | None, kind: str, severity: int) -> Split:
    """The first test images of a data set, corrupted.

    Args:
        name: of the data set.
        count: how many; None for all.
        kind: of the corruption, one of :data:`slth.data.corruptions.KINDS`.
        severity: 1 to 5.

    Returns:
        Images and labels.
    """
    return corruptions.corrupted(test_data(name, count), kind=kind, severity=severity)
