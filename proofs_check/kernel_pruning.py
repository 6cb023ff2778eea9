r"""Kernel-pruning identity (dacunha2023).

After channel blocking, hidden channel t of input channel k computes relu(u_t X_k), and

.. math:: \sum_t V_t * \mathrm{relu}(u_t X_k) = \Big(\sum_{u_t > 0} u_t V_t\Big) * X_k^+
          + \Big(\sum_{u_t < 0} |u_t| V_t\Big) * X_k^-

The check evaluates both sides on integer tensors, where they are exact, over kernel sizes, strides and paddings. Both
sides are linear in V and positively homogeneous in u, so it shows that the identity is stated and implemented rightly
for any values; it is not a symbolic proof. False variant: |u_t| replaced by u_t in the negative group.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.signal import correlate

from proofs_check.check import Lemma
from slth.arrays import FloatArray


def margin(false_variant: bool) -> float:
    """1 − the largest difference of the two sides (integers: 0 when the identity holds)."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for size, stride, padding in product((1, 2, 3), (1, 2), (0, 1, 2)):
        x = rng.integers(-5, 6, (9, 8)).astype(float)
        u = rng.integers(-4, 5, 12).astype(float)
        kernels = rng.integers(-4, 5, (12, size, size)).astype(float)
        left = sum(
            _convolve(np.maximum(u_t * x, 0), kernel, stride, padding) for u_t, kernel in zip(u, kernels, strict=True)
        )
        sign = 1.0 if false_variant else -1.0
        positive = np.tensordot(np.maximum(u, 0), kernels, 1)
        negative = np.tensordot(sign * np.minimum(u, 0), kernels, 1)
        right = _convolve(np.maximum(x, 0), positive, stride, padding) + _convolve(
            np.maximum(-x, 0), negative, stride, padding
        )
        worst = max(worst, float(np.abs(left - right).max()))
    return 1.0 - worst


def _convolve(x: FloatArray, kernel: FloatArray, stride: int, padding: int) -> FloatArray:
    """Cross-correlation of a plane with a kernel, zero padding and stride."""
    full = correlate(np.pad(x, padding), kernel, mode="valid", method="direct")
    return np.asarray(full[::stride, ::stride])


LEMMA = Lemma(
    name="kernel-pruning identity",
    kind="exhaustive",
    margin=margin,
    establishes="exact equality on integer tensors over kernel sizes, strides and paddings",
)
