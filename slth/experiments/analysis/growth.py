r"""Growth laws of measured errors: a product of powers, least squares in logarithms, bootstrap intervals.

.. math:: \text{error} \approx c \cdot \prod_f f^{a_f}

A *cell* is one combination of the factors. The bootstrap draws cells with replacement, because results scatter more
between layers and widths than between seeds. Its 95 % percentile intervals are those of *effective* exponents over the
range that was measured, not of asymptotic ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slth.arrays import FloatArray

DRAWS = 400
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the number.
        low: lower end of its interval; NaN if there are too few cells for an interval.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if not np.isfinite([self.low, self.high]).all():
            return f"{self.value:.2g} (no interval)"
        return f"{self.value:.2g} [{self.low:.2g}, {self.high:.2g}]"


@dataclass(frozen=True, kw_only=True)
class GrowthLaw:
    """A fitted product of powers.

    Attributes:
        constant: c.
        exponents: of the factors that vary in the data, by name. Factors that do not vary are part of c.
        cells: number of cells it was fitted to.
        spread: root mean square of log(measured/fitted) over the cells.
    """

    constant: Estimate
    exponents: dict[str, Estimate]
    cells: int
    spread: float

    def at(self, **factors: npt.ArrayLike) -> FloatArray:
        """The law's value for given values of the factors; factors that were not fitted are ignored."""
        value: FloatArray = np.asarray(self.constant.value)
        for name, exponent in self.exponents.items():
            value = value * np.asarray(factors[name], dtype=float) ** exponent.value
        return value

    def __str__(self) -> str:
        powers = (f" · {name}^({exponent})" for name, exponent in self.exponents.items())
        return f"{self.constant}{''.join(powers)}"


def fit_growth_law(
    values: Sequence[float], factors: Mapping[str, Sequence[float]], *, seed: int = 0
) -> GrowthLaw | None:
    """Fit error ≈ c·∏ factor^exponent.

    Args:
        values: the measured errors, > 0, shape (m,).
        factors: name → the factor's value at each error, > 0, shape (m,).
        seed: of the bootstrap.

    Returns:
        The law, or None if the cells do not outnumber the unknowns or do not determine them.
    """
    table = {name: np.log(np.asarray(column, dtype=float)) for name, column in factors.items()}
    names = [name for name, column in table.items() if len(column) and np.ptp(column) > 1e-12]
    if not names:
        return None
    logs = np.log(np.asarray(values, dtype=float))
    cells, member = np.unique(np.column_stack([table[name] for name in names]), axis=0, return_inverse=True)
    member = member.ravel()
    means = np.array([logs[member == i].mean() for i in range(len(cells))])
    design = np.column_stack([np.ones(len(cells)), cells])
    centre = _solve(design, means)
    if centre is None or len(cells) <= design.shape[1]:
        return None
    rng = np.random.default_rng(seed)
    draws = [_solve(design[chosen], means[chosen]) for chosen in rng.integers(len(cells), size=(DRAWS, len(cells)))]
    known = np.array([one for one in draws if one is not None])
    tail = 100 * (1 - CONFIDENCE) / 2
    ends = np.full((2, len(centre)), np.nan)
    if len(known) >= DRAWS / 2:
        ends = np.percentile(known, [tail, 100 - tail], axis=0)
    estimates = [Estimate(*(float(x) for x in one)) for one in zip(centre, *ends, strict=True)]
    return GrowthLaw(
        constant=Estimate(*(float(np.exp(x)) for x in (estimates[0].value, estimates[0].low, estimates[0].high))),
        exponents=dict(zip(names, estimates[1:], strict=True)),
        cells=len(cells),
        spread=float(np.sqrt(np.mean((means - design @ centre) ** 2))),
    )


def _solve(design: FloatArray, values: FloatArray) -> FloatArray | None:
    """Least squares; None if the design does not determine the solution."""
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    return np.asarray(np.linalg.lstsq(design, values, rcond=None)[0])
