"""Published accuracies of tickets, for the settings that the harness can run: set beside ours where the setting is the
same, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One published number.

    Attributes:
        arch, data, method: names of the harness. stage: ``found`` or ``tuned``. density, accuracy: fractions.
        source: key of the references. setting: what was different from ours by default.
    """

    arch: str
    data: str
    method: str
    stage: str
    density: float
    accuracy: float
    source: str
    setting: str


_GEMS = "150 epochs of search, 150 of fine-tuning"
_DIET = "rewound to step 1,000 of 62,400; mean of its replicates"
# Test error of IMP levels 0 to 15, each keeping 0.8 of the weights of the one before.
_LEVELS = (0.0835, 0.0823, 0.0818, 0.0810, 0.0816, 0.0813, 0.0815, 0.0823, 0.0834, 0.0854, 0.0896, 0.0963, 0.1014,
           0.1169, 0.1294, 0.1428)  # fmt: skip


def _gem(method: str, stage: str, density: float, accuracy: float) -> Figure:
    return Figure(arch="resnet20", data="cifar10", method=method, stage=stage, density=density, accuracy=accuracy,
                  source="sreenivasan2022", setting=_GEMS)  # fmt: skip


PUBLISHED: tuple[Figure, ...] = (
    _gem("gem-miner", "tuned", 0.014, 0.7789),
    _gem("gem-miner", "tuned", 0.0372, 0.834),
    _gem("gem-miner", "found", 0.0059, 0.4530),
    _gem("gem-miner", "tuned", 0.0059, 0.6615),
    _gem("edge-popup", "found", 0.0059, 0.1957),
    _gem("edge-popup", "tuned", 0.0059, 0.2447),
    *(
        Figure(arch="resnet20", data="cifar10", method="imp", stage="tuned", density=0.8**level, accuracy=1 - error,
               source="paul2022", setting=_DIET)
        for level, error in enumerate(_LEVELS)
    ),
)  # fmt: skip


def published(arch: str, data: str, method: str, stage: str, density: float) -> Figure | None:
    """The published figure of a setting, its density within 5 % of ours, or None."""
    near = [
        one for one in PUBLISHED
        if (one.arch, one.data, one.method, one.stage) == (arch, data, method, stage)
        and abs(one.density - density) <= 0.05 * density
    ]  # fmt: skip
    return min(near, key=lambda one: abs(one.density - density)) if near else None
