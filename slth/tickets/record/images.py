"""Images that a ticket's record names by a hash: those of a certificate, or of a calibration."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def hash_images(images: torch.Tensor) -> str:
    """SHA-256 over the shape and the float32 numbers of some images, (N, …)."""
    values = np.ascontiguousarray(images.detach().cpu().numpy(), dtype="<f4")
    return hashlib.sha256(f"{values.shape}:".encode() + values.tobytes()).hexdigest()
