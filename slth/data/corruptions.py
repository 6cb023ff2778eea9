"""Corrupted images: rotation, noise, blur and contrast at five severities, the same on every run.

The strengths are our choice for digits, such that severity 5 is still legible. Lengths are in units of the image side,
so that 8×8 and 28×28 images are corrupted alike.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from slth.data.split import Split
from slth.errors import InputError, check_choice, check_int

# Severity 1 … 5 of each kind; the docstring of corrupted() says what the numbers are.
STRENGTHS: dict[str, tuple[float, ...]] = {
    "rotation": (10.0, 20.0, 30.0, 40.0, 50.0),
    "noise": (0.1, 0.2, 0.3, 0.4, 0.5),
    "blur": (0.02, 0.035, 0.05, 0.065, 0.08),
    "contrast": (0.6, 0.4, 0.3, 0.2, 0.1),
}
KINDS = tuple(STRENGTHS)
SEVERITIES = (1, 2, 3, 4, 5)


def corrupted(data: Split, *, kind: str, severity: int, seed: int = 0) -> Split:
    """Corrupt images, and keep their labels.

    * ``rotation``: about the centre by ±10°, 20°, 30°, 40° or 50°, with a random sign for each image; bilinear, zeros
      moving in.
    * ``noise``: clip(x + σ·g, 0, 1), g standard normal, σ = 0.1, 0.2, 0.3, 0.4 or 0.5.
    * ``blur``: Gaussian of standard deviation 0.02, 0.035, 0.05, 0.065 or 0.08 sides, borders repeated.
    * ``contrast``: m + c·(x − m) with m the mean of the image, c = 0.6, 0.4, 0.3, 0.2 or 0.1.

    Args:
        data: images (N, C, H, W) in [0, 1].
        kind: one of the above.
        severity: 1 to 5.
        seed: seed of the signs of rotations and of noise.

    Returns:
        Images in [0, 1], and the same labels.

    Raises:
        InputError: an unknown kind or severity, images of another shape or range.
    """
    check_choice("kind", kind, KINDS)
    strength = STRENGTHS[kind][check_int("severity", severity, 1, 5) - 1]
    images = data.images
    if images.ndim != 4 or not len(images):
        raise InputError(f"images must have shape (N, C, H, W) with N ≥ 1; got {tuple(images.shape)}.")
    low, high = float(images.min()), float(images.max())
    if not 0 <= low <= high <= 1:
        raise InputError(f"images must lie in [0, 1]; got {low:.3g} to {high:.3g}. Divide pixels by their maximum.")
    random = np.random.default_rng(check_int("seed", seed, 0))
    pixels = images.cpu().numpy().astype(np.float64)
    if kind == "rotation":
        signs = np.where(random.random(len(pixels)) < 0.5, -1.0, 1.0)
        pixels = np.stack([
            ndimage.rotate(image, sign * strength, axes=(1, 2), reshape=False, order=1)
            for image, sign in zip(pixels, signs, strict=True)
        ])  # fmt: skip
    elif kind == "noise":
        pixels = pixels + strength * random.standard_normal(pixels.shape)
    elif kind == "blur":
        sigma = strength * np.sqrt(pixels.shape[2] * pixels.shape[3])
        pixels = ndimage.gaussian_filter(pixels, (0, 0, sigma, sigma), mode="nearest")
    else:
        mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
        pixels = mean + strength * (pixels - mean)
    return Split(torch.from_numpy(pixels.clip(0, 1).astype(np.float32)).to(images.device), data.labels)
