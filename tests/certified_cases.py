"""Small networks with poor tickets, for the tests of certificates, and a search for differences between the two."""

from __future__ import annotations

import functools

import torch
from torch import nn
from torch.nn import functional

from slth.tickets import Ticket, find_ticket
from slth.tickets.certify.forms import Box


class Residual(nn.Module):
    """Additions, concatenation, depthwise and strided convolutions, padding modes, scaling, a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.point = nn.Conv2d(4, 4, 1, bias=False)
        self.down = nn.Conv2d(8, 3, 2, stride=2)
        self.last = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.first(x))
        b = functional.leaky_relu(self.point(functional.relu(self.depthwise(a))), 0.1)
        c = torch.cat([functional.relu(a + b), 0.5 * a - b], dim=1)
        out: torch.Tensor = self.last(-self.down(c).mean(dim=(2, 3)) / 3 + 0.25)
        return out


class Shapes(nn.Module):
    """Sizes read from tensors, chunks, constants, and the corners of hard activations."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 8)
        self.out = nn.Linear(4, 2)
        self.register_buffer("shift", torch.linspace(-0.5, 0.5, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.avg_pool2d(functional.pad(x, (1, 1, 0, 0), value=0.5), (2, 1), padding=(0, 0))[:, :, :, 1:5]
        x = functional.hardtanh(self.linear(x.reshape(x.size(0), -1)) + self.shift, -0.4, 0.6)
        left, right = x.chunk(2, dim=1)
        out: torch.Tensor = self.out(torch.stack([left, right], dim=-1).sum(dim=-1))
        return out


class Upward(nn.Module):
    """Transposed convolutions, one in groups, a linear layer on tokens, arithmetic of sizes, interpolation, clamps."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.mix = nn.Linear(4, 3)
        self.last = nn.ConvTranspose2d(3, 2, 2, dilation=2, bias=False)
        self.token = nn.Parameter(torch.tensor([[[0.3, -0.2, 0.1]]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.clamp(self.up(functional.pad(x, (1, 0, 0, 1), mode="reflect")), min=-0.3)
        n, _, h, w = functional.avg_pool2d(x, 2).shape
        tokens = self.mix(functional.max_pool2d(x, 2).flatten(2).transpose(1, 2))
        tokens = torch.cat([self.token.expand(n, -1, -1), tokens], dim=1)[:, :-1]
        x = tokens.transpose(1, 2).reshape(n, 3, h, w)
        x = functional.interpolate(torch.clamp_max(x, 0.4), size=(h + 1, 2 * w // 2))
        out: torch.Tensor = self.last(x[:, :, :-1]).clamp(-0.5, 0.6).mean(dim=(2, 3))
        return out


NETWORKS = {
    "conv-pool": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3, 3)
    ),
    "overlapping-pools": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(3, 2, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(12, 4), nn.ReLU6(), nn.Linear(4, 2),
    ),
    "smooth": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2), nn.Tanh(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Sigmoid(),
        nn.Dropout(0.5), nn.Linear(4, 2), nn.LogSigmoid(),
    ),
    "residual": Residual,
    "shapes": Shapes,
    "upward": Upward,
}  # fmt: skip
RANGES = {"positive": (0.0, 1.0), "both": (-1.0, 1.0)}
SIDE = {"shapes": 4, "residual": 5, "upward": 3}
CASES = [(name, signs) for name in NETWORKS for signs in RANGES if (name, signs) != ("shapes", "both")]


@functools.cache
def case(name: str, signs: str) -> tuple[nn.Module, Ticket, tuple[int, int, int]]:
    """A network, its ticket (a poor one, so that there are errors to see), and the shape of one input."""
    torch.manual_seed(3)
    side = SIDE.get(name, 7)
    model = NETWORKS[name]().eval()
    ticket = find_ticket(
        model, width=36, input_range=RANGES[signs], seed=4, example_input=torch.zeros(1, 2, side, side)
    )
    return model, ticket, (2, side, side)


def worst_differences(ticket: Ticket, box: Box, count: int = 60, steps: int = 12) -> torch.Tensor:
    """The largest |δ| found in a box by gradient ascent from random points and corners, with the compact network."""
    target, compact = ticket.target.to_module().double(), ticket.to_module().double()
    shape = (count, *box.lo.shape[1:])
    x = box.lo + (box.hi - box.lo) * torch.rand(shape, dtype=torch.float64)
    x[: count // 2] = torch.where(torch.rand(x[: count // 2].shape) < 0.5, box.lo, box.hi)
    worst = torch.zeros(target(x[:1]).shape[1:], dtype=torch.float64)
    for step in range(steps):
        x = x.detach().requires_grad_()
        d = (compact(x) - target(x)).abs()
        worst = torch.maximum(worst, d.detach().amax(dim=0))
        (slope,) = torch.autograd.grad(d.sum(), x)
        x = torch.maximum(
            torch.minimum(x + slope.sign() * (box.hi - box.lo) * 0.2 * (1 - step / steps), box.hi), box.lo
        )
    return worst
