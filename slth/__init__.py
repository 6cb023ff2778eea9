"""slth: structured strong lottery tickets by random subset sum.

>>> ticket = find_ticket(model, example_input=x, width=10_000, input_range=(0, 1))
>>> ticket.layers, ticket.verify(), ticket.to_module()

The names below are imported on first use, so that ``slth --help`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slth.rss import Problem, solve
    from slth.tickets import certified_agreement, certify_network, find_ticket, load_ticket

__version__ = "0.1.0"
__all__ = [
    "Problem",
    "__version__",
    "certified_agreement",
    "certify_network",
    "find_ticket",
    "load_ticket",
    "solve",
]

_HOMES = {
    "Problem": "slth.rss",
    "solve": "slth.rss",
    "certified_agreement": "slth.tickets",
    "certify_network": "slth.tickets",
    "find_ticket": "slth.tickets",
    "load_ticket": "slth.tickets",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'slth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
