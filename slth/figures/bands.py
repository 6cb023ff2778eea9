"""Numbers with an uncertainty, as figures draw them: a mean with its interval, and a median with its band."""

from __future__ import annotations

from typing import Protocol

# (mean, low, high): a mean and the ends of its interval.
Interval = tuple[float, float, float]


class Band(Protocol):
    """A median and the ends of the band around it."""

    @property
    def median(self) -> float:
        """The middle."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""
