r"""Second moments of what a linear map reads, and its regression on the target's output.

A map with weight W computes Wq + b at every position of its output, where the features q are the entries of the input
that the position sees. For inputs of both signs the ticket applies one weight to x⁺ and another to x⁻. Its features are
then :math:`q = (x^+, −x^-)`, twice as many, and the target's weight is (W, W).

"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from slth.networks.linear_map import LinearMap

Matrix = npt.NDArray[np.float64]

# Rows of features that moments are estimated from. A layer with more takes so many random positions of each image.
MOST_ROWS = 2**17
# Rounding of products in float32, relative to the mean of diag H. It is added to central moments: they may be as small.
ROUNDING = 1e-6


class Moments:
    """Sums over positions, for each group of a linear map. What is added may come in any number of pieces.

    Args:
        linear: the linear map.

    Attributes:
        gram: Σ qqᵀ, float64 (groups, F, F). F counts the entries (sign, input channel of the group, tap).
        cross: Σ yqᵀ with the target's output y, float64 (groups, c_out/groups, F).
        features: Σ q, float64 (groups, F).
        outputs: Σ y, float64 (groups, c_out/groups).
        rows: number of positions.
    """

    def __init__(self, linear: LinearMap) -> None:
        groups, size, outputs = linear.groups, feature_count(linear), linear.channels[1] // linear.groups
        self.linear = linear
        self.gram: Matrix = np.zeros((groups, size, size))
        self.cross: Matrix = np.zeros((groups, outputs, size))
        self.features: Matrix = np.zeros((groups, size))
        self.outputs: Matrix = np.zeros((groups, outputs))
        self.rows = 0

    def add(self, inputs: torch.Tensor, outputs: torch.Tensor, most_rows: int, seed: int) -> None:
        """Add the positions of a batch.

        Args:
            inputs: what the ticket's layer reads, float32 (N, …).
            outputs: what the target's layer gives at the same place, float32 (N, …).
            most_rows: about so many positions at most are taken, at random.
            seed: of the choice of positions.
        """
        q, y = rows_of(self.linear, inputs, outputs, most_rows, seed)
        self.gram += (q.transpose(1, 2) @ q).double().numpy()
        self.cross += (y.transpose(1, 2) @ q).double().numpy()
        self.features += q.sum(dim=1, dtype=torch.float64).numpy()
        self.outputs += y.sum(dim=1, dtype=torch.float64).numpy()
        self.rows += q.shape[1]

    def merged(self, other: Moments) -> Moments:
        """The moments over the positions of both."""
        both = Moments(self.linear)
        for name in ("gram", "cross", "features", "outputs", "rows"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def covariances(self) -> tuple[Matrix, Matrix]:
        """(H, B): the second moments of q, and those of y with q. They are central if the layer has a bias.

        A bias takes up any constant error. Without one a constant error counts like any other.
        """
        gram, cross = self.gram / self.rows, self.cross / self.rows
        if self.linear.bias is None:
            return gram, cross
        q, y = self.features / self.rows, self.outputs / self.rows
        rounding = ROUNDING * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(gram.shape[1]) / gram.shape[1]
        return gram - q[:, :, None] * q[:, None, :] + rounding, cross - y[:, :, None] * q[:, None, :]


def feature_count(linear: LinearMap) -> int:
    """Number of features that one group of a map reads."""
    return len(linear.signs) * math.prod(linear.weight.shape[1:])


def rows_of(
    linear: LinearMap, inputs: torch.Tensor, outputs: torch.Tensor, most_rows: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The features and the outputs at positions of a linear map.

    Args:
        linear: the linear map.
        inputs: its inputs, float32 (N, …).
        outputs: outputs at the same positions, float32.
        most_rows: about so many positions at most are taken, at random.
        seed: of the choice of positions.

    Returns:
        Features (groups, rows, F) and outputs (groups, rows, c_out/groups), float32.
    """
    c_in, c_out, taps = *linear.channels, math.prod(linear.kernel)
    if linear.kind == "linear" and linear.groups == 1:  # channels come last
        seen, y = inputs.reshape(-1, 1, c_in, 1), outputs.reshape(-1, 1, c_out)
        chosen = _positions(len(seen), most_rows, seed)
        seen, y = seen[chosen], y[chosen]
    else:
        axes = max(len(linear.kernel), outputs.ndim - 2)
        x = inputs.reshape(-1, 1, *inputs.shape[-axes:]) if axes else inputs.reshape(-1, 1)
        patches = x if linear.kind == "linear" else _one_channel(linear)(x)
        patches = patches.reshape(-1, c_in, taps, math.prod(outputs.shape[outputs.ndim - axes :]))
        chosen = _positions(patches.shape[-1], math.ceil(most_rows / len(patches)), seed)
        seen = patches[..., chosen].permute(0, 3, 1, 2)
        y = outputs.reshape(len(patches), c_out, -1)[..., chosen].transpose(1, 2)
    rows = seen.shape[0] * seen.shape[1]
    seen = seen.reshape(rows, linear.groups, -1).transpose(0, 1)
    if len(linear.signs) == 2:
        seen = torch.cat([seen.clamp(min=0), seen.clamp(max=0)], dim=2)
    return seen.contiguous(), y.reshape(rows, linear.groups, -1).transpose(0, 1).contiguous()


def _one_channel(linear: LinearMap) -> torch.nn.Module:
    """A map of one input channel with an output for each tap of the kernel: it cuts inputs into patches."""
    taps = math.prod(linear.kernel)
    weight = np.eye(taps, dtype=np.float32).reshape(taps, 1, *linear.kernel)
    cut = LinearMap(name=linear.name, kind=linear.kind, weight=weight, bias=None, options=linear.options)
    return cut.to_module().requires_grad_(False)


def _positions(count: int, most: int, seed: int) -> torch.Tensor | slice:
    """Random places among ``count``; all of them if they are not more than ``most``."""
    if count <= most:
        return slice(None)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most].sort().values


def regression(moments: Moments, weight: Matrix, shrinkage: float | None) -> Matrix:
    r"""The weight that maps what the ticket's layer reads to what the target's layer gives, shrunk towards its own.

    .. math:: W^* = \arg\min_A E\|y − Aq\|^2 + l \|A − W\|^2 = (B + lW)(H + lI)^{-1}, \qquad
              l = \text{shrinkage} · \text{mean diag } H

    Args:
        moments: the moments.
        weight: W, float64 (groups, c_out/groups, F).
        shrinkage: how strongly, in units of the mean of diag H; None for W itself.

    Returns:
        float64, of the shape of W.
    """
    if shrinkage is None:
        return weight
    second, cross = moments.covariances()
    size = second.shape[-1]
    ridge = shrinkage * np.trace(second, axis1=1, axis2=2)[:, None, None] / size
    ridge = np.where(ridge > 0, ridge, 1.0)
    solved = np.linalg.solve(second + ridge * np.eye(size), (cross + ridge * weight).swapaxes(1, 2))
    return np.ascontiguousarray(solved.swapaxes(1, 2))


def squared_loss(moments: Moments, weight: Matrix) -> float:
    """E‖y − Aq‖² without the part that no weight changes.

    Args:
        moments: the moments.
        weight: A, float64 (groups, c_out/groups, F).
    """
    second, cross = moments.covariances()
    return float(((weight @ second - 2.0 * cross) * weight).sum())
