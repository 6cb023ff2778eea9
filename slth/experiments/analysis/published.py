"""Published accuracies of tickets, to be set beside ours where the setting is the same."""

from __future__ import annotations

from dataclasses import dataclass

# Densities are the same setting if they differ by at most this fraction.
DENSITY_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class PublishedAccuracy:
    """One published number.

    Attributes:
        arch: a name in :data:`slth.networks.models.ARCHITECTURES`.
        data: a name of a data set.
        method: a name in :data:`slth.experiments.contest.methods.METHODS`.
        stage: ``found`` or ``tuned``.
        density: fraction of weights kept.
        accuracy: on test data, a fraction.
        source: key of the table of references.
        setting: in what the authors' experiment differs from our defaults.
    """

    arch: str
    data: str
    method: str
    stage: str
    density: float
    accuracy: float
    source: str
    setting: str


_GEM_SETTING = "150 epochs of search, 150 of fine-tuning"
_DIET_SETTING = "rewound to step 1,000 of 62,400; mean of its replicates"
# Test error of IMP levels 0 to 15, each keeping 0.8 of the weights of the one before.
_IMP_ERRORS = (
    0.0835, 0.0823, 0.0818, 0.0810, 0.0816, 0.0813, 0.0815, 0.0823,
    0.0834, 0.0854, 0.0896, 0.0963, 0.1014, 0.1169, 0.1294, 0.1428,
)  # fmt: skip


def _gem_accuracy(method: str, stage: str, density: float, accuracy: float) -> PublishedAccuracy:
    return PublishedAccuracy(
        arch="resnet20", data="cifar10", method=method, stage=stage, density=density, accuracy=accuracy,
        source="sreenivasan2022", setting=_GEM_SETTING,
    )  # fmt: skip


PUBLISHED: tuple[PublishedAccuracy, ...] = (
    _gem_accuracy("gem-miner", "tuned", 0.014, 0.7789),
    _gem_accuracy("gem-miner", "tuned", 0.0372, 0.834),
    _gem_accuracy("gem-miner", "found", 0.0059, 0.4530),
    _gem_accuracy("gem-miner", "tuned", 0.0059, 0.6615),
    _gem_accuracy("edge-popup", "found", 0.0059, 0.1957),
    _gem_accuracy("edge-popup", "tuned", 0.0059, 0.2447),
    *(
        PublishedAccuracy(
            arch="resnet20", data="cifar10", method="imp", stage="tuned", density=0.8**level, accuracy=1 - error,
            source="paul2022", setting=_DIET_SETTING,
        )
        for level, error in enumerate(_IMP_ERRORS)
    ),
)  # fmt: skip


def published_accuracy(arch: str, data: str, method: str, stage: str, density: float) -> PublishedAccuracy | None:
    """The published accuracy of a setting.

    Args:
        arch: name of the architecture.
        data: name of the data set.
        method: name of the method.
        stage: ``found`` or ``tuned``.
        density: of our ticket, a fraction.

    Returns:
        The entry whose density is nearest to ours, or None if none is within ``DENSITY_TOLERANCE``.
    """
    near = [
        one for one in PUBLISHED
        if (one.arch, one.data, one.method, one.stage) == (arch, data, method, stage)
        and abs(one.density - density) <= DENSITY_TOLERANCE * density
    ]  # fmt: skip
    return min(near, key=lambda one: abs(one.density - density)) if near else None
