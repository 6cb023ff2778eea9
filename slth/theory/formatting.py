"""How the bounds write numbers, also those beyond the range of float64."""

from __future__ import annotations

import math


def format_number(value: float) -> str:
    """Write a number with three significant digits: 97.7, 1,234, 8.81e5."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e5:
        return f"{int(value):,}"
    if 0.01 <= abs(value) < 1e5:
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def format_exponential(log: float) -> str:
    """Write e^log, the number with this natural logarithm, even where float64 cannot hold it."""
    digits = log / math.log(10)
    if abs(digits) < 300:
        return format_number(math.exp(log))
    exponent = math.floor(digits + 0.0002)  # a mantissa of 9.995 or more would be rounded to 10
    return f"{10 ** (digits - exponent):.2f}e{exponent}"
