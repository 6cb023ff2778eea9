"""How errors of the weights become errors of the output."""

from __future__ import annotations

from slth.errors import check_int, check_positive


def layer_output_bound(*, taps: int, c_in: int, error: float, input_max: float = 1.0, bias_error: float = 0.0) -> float:
    r"""The largest change of a layer's output when its kernels change by at most ``error``.

    .. math:: \| K * X − K' * X \|_∞ \;≤\; d^2 c_{in} ε' \|X\|_{max} + ε'_b

    Args:
        taps: d², the entries of one kernel; 1 for a linear layer.
        c_in: input channels.
        error: ε' = ‖K − K'‖∞, the kernel error of each sign group.
        input_max: ‖X‖_max, the largest |input|.
        bias_error: ε'_b, the error of the bias.

    Raises:
        InputError: an argument is out of range.

    Source: propagation
    """
    check_int("taps", taps, 1)
    check_int("c_in", c_in, 1)
    for name, value in (("error", error), ("input_max", input_max), ("bias_error", bias_error)):
        check_positive(name, value, zero_ok=True)
    return taps * c_in * error * input_max + bias_error
