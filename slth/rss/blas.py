"""BLAS and LAPACK from compiled code: symmetric routines that numba's ``np.dot`` and ``np.linalg`` do not offer.

A symmetric rank-k update takes half the time of a general product, and the inverse of a positive definite matrix a
quarter of that of ``np.linalg.inv`` (measured at D = 576). The addresses come from scipy, so this is the library that
:func:`slth.rss.threads.one_blas_thread` holds at one thread.

All arrays are C-contiguous, float32 or float64. A symmetric matrix is stored in its lower triangle, and the upper one
is neither read nor written. Fortran reads a C-contiguous matrix as its transpose: there this triangle is the upper one.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba import types
from numba.extending import get_cython_function_address


def _routine(name: str, arguments: int) -> Any:
    """A routine of scipy whose arguments are all addresses, under a name by which cached machine code finds it."""
    module = "cython_lapack" if name[1:3] == "po" else "cython_blas"
    llvmlite.binding.add_symbol(f"slth_{name}", get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(f"slth_{name}", types.void(*[types.intp] * arguments))


_ssyrk, _dsyrk = _routine("ssyrk", 10), _routine("dsyrk", 10)
_ssymm, _dsymm = _routine("ssymm", 12), _routine("dsymm", 12)
_spotrf, _dpotrf = _routine("spotrf", 5), _routine("dpotrf", 5)
_spotrs, _dpotrs = _routine("spotrs", 8), _routine("dpotrs", 8)
_spotri, _dpotri = _routine("spotri", 5), _routine("dpotri", 5)

# The letters that the routines take by address: no transpose, transpose, left side, upper triangle.
_LETTERS = np.frombuffer(b"NTLU", dtype=np.uint8).copy()
_NO, _YES, _LEFT, _UPPER = range(4)

# Every function below reads its small arrays once more after the call. So they are not freed before it.


@numba.njit(nogil=True, cache=True)
def add_gram(rows, matrix, factor):  # type: ignore[no-untyped-def]
    """Add factor·rowsᵀrows to a symmetric matrix.

    Args:
        rows: (k, D).
        matrix: (D, D), symmetric. It is changed in place.
        factor: a number.
    """
    _update(rows, matrix, rows.shape[1], rows.shape[0], factor, _NO)


@numba.njit(nogil=True, cache=True)
def add_inner_products(rows, matrix):  # type: ignore[no-untyped-def]
    """Add rows·rowsᵀ to a symmetric matrix.

    Args:
        rows: (m, D).
        matrix: (m, m), symmetric. It is changed in place.
    """
    _update(rows, matrix, rows.shape[0], rows.shape[1], 1.0, _YES)


@numba.njit(nogil=True, cache=True)
def _update(rows, matrix, size, depth, factor, transpose):  # type: ignore[no-untyped-def]
    if size == 0 or depth == 0:
        return
    letters = _LETTERS.copy()
    sizes = np.array([size, depth, rows.shape[1]], np.int32)
    numbers = np.array([factor, 1.0]).astype(rows.dtype)
    c, i, f = letters.ctypes.data, sizes.ctypes.data, numbers.ctypes.data
    a, b, one = rows.ctypes.data, matrix.ctypes.data, f + rows.itemsize
    if rows.itemsize == 4:
        _ssyrk(c + _UPPER, c + transpose, i, i + 4, f, a, i + 8, one, b, i)
    else:
        _dsyrk(c + _UPPER, c + transpose, i, i + 4, f, a, i + 8, one, b, i)
    assert letters[0] + sizes[0] + numbers[1] > 0


@numba.njit(nogil=True, cache=True)
def multiply_symmetric(rows, matrix, out):  # type: ignore[no-untyped-def]
    """Set ``out`` to rows·matrix.

    Args:
        rows: (k, D).
        matrix: (D, D), symmetric.
        out: (k, D). It is overwritten.
    """
    letters = _LETTERS.copy()
    sizes = np.array([rows.shape[1], rows.shape[0]], np.int32)
    numbers = np.array([1.0, 0.0]).astype(rows.dtype)
    c, i, f = letters.ctypes.data, sizes.ctypes.data, numbers.ctypes.data
    a, b, o, zero = rows.ctypes.data, matrix.ctypes.data, out.ctypes.data, f + rows.itemsize
    if rows.itemsize == 4:
        _ssymm(c + _LEFT, c + _UPPER, i, i + 4, f, b, i, a, i, zero, o, i)
    else:
        _dsymm(c + _LEFT, c + _UPPER, i, i + 4, f, b, i, a, i, zero, o, i)
    assert letters[0] + sizes[0] + numbers[0] > 0


@numba.njit(nogil=True, cache=True)
def factorise(matrix):  # type: ignore[no-untyped-def]
    """Replace a symmetric matrix by its Cholesky factor L with matrix = L·Lᵀ.

    Args:
        matrix: (D, D), symmetric. Its lower triangle is overwritten.

    Returns:
        Whether the matrix is positive definite. Otherwise its content is of no use afterwards.
    """
    letters, sizes = _LETTERS.copy(), np.array([matrix.shape[0], 0], np.int32)
    c, i, a = letters.ctypes.data, sizes.ctypes.data, matrix.ctypes.data
    if matrix.itemsize == 4:
        _spotrf(c + _UPPER, i, a, i, i + 4)
    else:
        _dpotrf(c + _UPPER, i, a, i, i + 4)
    return letters[0] > 0 and sizes[1] == 0


@numba.njit(nogil=True, cache=True)
def solve_factorised(factor, right):  # type: ignore[no-untyped-def]
    """Replace b by the solution of L·Lᵀ·y = b.

    Args:
        factor: (D, D), what :func:`factorise` left.
        right: (D,), b. It is overwritten.
    """
    letters, sizes = _LETTERS.copy(), np.array([right.size, 1, 0], np.int32)
    c, i, a, b = letters.ctypes.data, sizes.ctypes.data, factor.ctypes.data, right.ctypes.data
    if factor.itemsize == 4:
        _spotrs(c + _UPPER, i, i + 4, a, i, b, i, i + 8)
    else:
        _dpotrs(c + _UPPER, i, i + 4, a, i, b, i, i + 8)
    assert letters[0] + sizes[0] > 0


@numba.njit(nogil=True, cache=True)
def invert_factorised(factor):  # type: ignore[no-untyped-def]
    """Replace the factor L by the inverse of L·Lᵀ, a symmetric matrix.

    Args:
        factor: (D, D), what :func:`factorise` left. Its lower triangle is overwritten.
    """
    letters, sizes = _LETTERS.copy(), np.array([factor.shape[0], 0], np.int32)
    c, i, a = letters.ctypes.data, sizes.ctypes.data, factor.ctypes.data
    if factor.itemsize == 4:
        _spotri(c + _UPPER, i, a, i, i + 4)
    else:
        _dpotri(c + _UPPER, i, a, i, i + 4)
    assert letters[0] + sizes[0] > 0


@numba.njit(nogil=True, cache=True)
def mirror(matrix):  # type: ignore[no-untyped-def]
    """Copy the lower triangle of a square matrix to its upper one.

    Args:
        matrix: (D, D). It is changed in place.
    """
    side = 32  # a tile of both triangles stays in the first cache
    for top in range(0, matrix.shape[0], side):
        for left in range(0, top + 1, side):
            for a in range(top, min(top + side, matrix.shape[0])):
                for b in range(left, min(left + side, a)):
                    matrix[b, a] = matrix[a, b]
