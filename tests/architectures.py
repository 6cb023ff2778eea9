"""Small networks of the kinds that people train today, each with an example input; none has a symbolic trace."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations


class Encoder(nn.Module):
    """A transformer encoder of tokens (N, L, 8): attention with several heads, LayerNorm, GELU, residuals."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, activation="gelu", batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.layer(x).mean(dim=1))
        return out


class VisionTransformer(nn.Module):
    """Patches as tokens, a class token, positions, and attention by the fused function."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 5, 8))
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(batch, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        out: torch.Tensor = self.head(x[:, 0])
        return out


class Windows(nn.Module):
    """Attention in shifted windows with a table of relative positions, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 6, 2, stride=2)
        self.qkv = nn.Linear(6, 18)
        self.out = nn.Linear(6, 4)
        self.table = nn.Parameter(torch.randn(9, 2))
        places = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")).flatten(1)
        distance = (places[:, :, None] - places[:, None, :]).permute(1, 2, 0) + 1
        self.index: torch.Tensor
        self.register_buffer("index", distance[..., 0] * 3 + distance[..., 1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.roll(self.embed(x).permute(0, 2, 3, 1), (-1, -1), dims=(1, 2))
        n, h, w, c = x.shape
        x = x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        q, k, v = self.qkv(x).view(-1, 4, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(4, 4, 2).permute(2, 0, 1)
        weights = ((q * (c // 2) ** -0.5) @ k.transpose(-2, -1) + bias).softmax(dim=-1)
        x = (weights @ v).transpose(1, 2).reshape(n, -1, c)
        out: torch.Tensor = self.out(x.mean(dim=1))
        return out


class ConvNext(nn.Module):
    """A depthwise convolution, LayerNorm of the channels, two linear layers, a learned scale, a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 2, stride=2)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.norm = nn.LayerNorm(4)
        self.wide, self.narrow = nn.Linear(4, 8), nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.rand(4) + 0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(functional.gelu(self.wide(y)))
        out: torch.Tensor = self.head((x + y.permute(0, 3, 1, 2)).mean(dim=(2, 3)))
        return out


class Standardised(nn.Conv2d):
    """A convolution whose weight has mean 0 and variance 1 in every output channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
        out: torch.Tensor = self._conv_forward(x, (self.weight - mean) / torch.sqrt(variance + 1e-5), self.bias)
        return out


def parametrised() -> nn.Module:
    """Weights that are computed: standardised, normalised by a vector, and by the largest singular value."""
    return nn.Sequential(
        Standardised(1, 3, 3), nn.GroupNorm(1, 3), nn.ReLU(),
        parametrizations.weight_norm(nn.Conv2d(3, 3, 3)), nn.SiLU(), nn.Flatten(),
        parametrizations.spectral_norm(nn.Linear(48, 3)),
    )  # fmt: skip


class Excitation(nn.Module):
    """A block of MobileNet: expansion, depthwise convolution, squeeze and excitation, projection, residual."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Hardswish(inplace=True))
        self.depthwise = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4))
        self.squeeze, self.excite = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.project = nn.Sequential(nn.Conv2d(4, 2, 1, bias=False), nn.BatchNorm2d(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise(self.expand(x))
        gate = functional.hardsigmoid(self.excite(functional.relu(self.squeeze(functional.adaptive_avg_pool2d(y, 1)))))
        y = self.project(y * gate)
        y += x
        out: torch.Tensor = y
        return out


class Stochastic(nn.Module):
    """Residual blocks that are dropped at random in training, with a switch that Python reads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        self.drop, self.head = 0.2, nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem(x))
        for block in self.blocks:
            y = block(x)
            if self.training and self.drop:
                y = y * torch.bernoulli(torch.full((len(y), 1, 1, 1), 1 - self.drop)) / (1 - self.drop)
            x = functional.relu(x + y)
        out: torch.Tensor = self.head(x.amax(dim=(2, 3)))
        return out


class UNet(nn.Module):
    """Down by strides, up by transposed convolutions (one in groups) and interpolation, with skips."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.last = nn.ConvTranspose2d(10, 2, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = functional.relu(self.first(x))
        b = functional.relu(self.down(a))
        c = functional.relu(self.up(functional.relu(self.deep(b))))
        c = functional.interpolate(c, size=a.shape[-2:], mode="bilinear", align_corners=False)
        out: torch.Tensor = self.last(torch.cat([a, c], dim=1))
        return out


class Words(nn.Module):
    """A classifier of texts: an embedding of words, one of positions, a convolution along the text."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(9, 4), nn.Embedding(16, 4)
        self.conv = nn.Conv1d(4, 5, 3, padding=1)
        self.head = nn.Linear(5, 2)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.words(words) + self.positions(torch.arange(words.shape[1], device=words.device))
        x = functional.relu(self.conv(x.transpose(1, 2))).amax(dim=2)
        out: torch.Tensor = self.head(x)
        return out


def hooked() -> nn.Module:
    """A hook that doubles a layer's output, and one that clips its input."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    model[2].register_forward_pre_hook(lambda module, inputs: (inputs[0].clamp(-0.5, 0.5),))
    return model


class TwoInputs(nn.Module):
    """An image and a vector, which scales the image's channels (FiLM)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.film, self.head = nn.Conv2d(1, 3, 3), nn.Linear(2, 6), nn.Linear(3, 2)

    def forward(self, image: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        scale, shift = self.film(vector)[:, :, None, None].chunk(2, dim=1)
        x = functional.relu(self.conv(image) * scale + shift)
        out: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return out


# Name → function that builds the network, and its example inputs.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[torch.Tensor, ...]]]] = {
    "encoder": (Encoder, lambda: (torch.randn(2, 5, 8),)),
    "vision transformer": (VisionTransformer, lambda: (torch.randn(2, 1, 8, 8),)),
    "windows": (Windows, lambda: (torch.randn(2, 1, 8, 8),)),
    "convnext": (ConvNext, lambda: (torch.randn(2, 1, 8, 8),)),
    "parametrised": (parametrised, lambda: (torch.randn(2, 1, 8, 8),)),
    "excitation": (Excitation, lambda: (torch.randn(2, 2, 5, 5),)),
    "stochastic": (Stochastic, lambda: (torch.randn(2, 1, 6, 6),)),
    "unet": (UNet, lambda: (torch.randn(2, 1, 8, 8),)),
    "words": (Words, lambda: (torch.randint(9, (2, 7)),)),
    "hooked": (hooked, lambda: (torch.randn(2, 4),)),
    "two inputs": (TwoInputs, lambda: (torch.randn(2, 1, 5, 5), torch.randn(2, 2))),
}
