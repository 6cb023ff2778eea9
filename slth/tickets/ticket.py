"""The ticket: a record with everything that can be done with it. Find one, load one, run it, verify it, save it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slth.environment import environment
from slth.errors import InputError, check_choice, check_int
from slth.networks.example import Range, as_recorded
from slth.networks.extract import extract
from slth.networks.graph import GraphNetwork
from slth.networks.parent_sizes import make_parent
from slth.networks.structure import STRUCTURES
from slth.networks.target import Target
from slth.progress import Progress
from slth.rss import SOLVERS
from slth.rss.threads import thread_count
from slth.tickets.checks.verification import Verification, verify_record
from slth.tickets.files.file import Weights, load_record, save_record
from slth.tickets.networks.compact import compact_module
from slth.tickets.networks.explicit import make_masks
from slth.tickets.networks.folded import folded_module
from slth.tickets.record.control import random_kept
from slth.tickets.record.record import Kept, Record
from slth.tickets.search.search import search


@dataclass(frozen=True, kw_only=True, eq=False)
class Ticket(Record):
    """A structured subnetwork of a random parent that approximates a target, found without training.

    Attributes:
        parent: the random network (a specification: nothing random is stored).
        target: the network it approximates.
        structure: what is kept or removed as a whole: ``channel`` (hidden channels), ``kernel`` or ``weight``.
        kept: kept[layer][channel] is the :class:`~slth.tickets.record.record.Block` of that input channel.
        layers: one report per layer.
        info: where the ticket came from: environment, method, input range, certificates.

    Source: dacunha2023
    """

    @staticmethod
    def of(record: Record) -> Ticket:
        """The ticket of a record."""
        return Ticket(**{name: getattr(record, name) for name in Record.__dataclass_fields__})

    def to_module(self) -> GraphNetwork:
        """The ticket as a network that holds only the kept channels; same inputs and outputs as the target.

        Each linear map becomes a grouped 1×1 convolution onto the kept channels, ReLU, and a d×d convolution (for
        linear layers: the same with linear algebra). float32, evaluation mode. With structure ``channel`` it has no
        zeros for what was removed (a grouped target's groups are filled up to equal length); ``kernel`` and
        ``weight`` leave zeros in the d×d layer.
        """
        return compact_module(self)

    def folded(self) -> GraphNetwork:
        """The ticket's function with the kept candidates of every block summed: float32, the target's size and cost.

        Not a subnetwork any more: for measuring wide tickets. :meth:`to_module` agrees with it up to rounding.
        """
        return folded_module(self)

    def masks(self) -> dict[str, dict[str, torch.Tensor]]:
        """0/1 masks over the explicit parent, for small widths, in the form ``torch.nn.utils.prune`` takes.

        Returns:
            bool tensors for each layer: ``mixing`` (width·c_in, c_in), the channel-blocked mask with removed filters'
            rows zero; ``kernel`` (c_out, width·c_in/groups, d, …), zero for what is removed; with a bias also ``bias``
            (width,) and ``bias_kernel`` (c_out, width).

        Raises:
            MemoryEstimateError: the masks would not fit memory.
        """
        return make_masks(self)

    def verify(self, images: torch.Tensor | None = None) -> Verification:
        """Regenerate the kept channels from the seed and recompute every error.

        A recorded certificate is proved again: that of the network, and with ``images`` also the certified agreement.

        Args:
            images: the data that a recorded certified agreement is about, float32 (N, …).

        Returns:
            A :class:`~slth.tickets.checks.verification.Verification`, true only when every check holds.
        """
        return verify_record(self, images)

    def save(self, path: str | Path) -> Path:
        """Write a ``.slth`` file (whole or not at all); :func:`slth.tickets.load_ticket` reads it.

        Args:
            path: the file. The target and a card are written beside it.

        Returns:
            ``path``.

        Raises:
            InputError: the folder cannot be written to.
        """
        return save_record(self, path)

    def random_like(self, seed: int = 0) -> Kept:
        """The same number of usable units in every part and sign, drawn at random: the control.

        Args:
            seed: of the draw.
        """
        return random_kept(self, seed)


def load_ticket(path: str | Path, target: str | Path | Weights | None = None) -> Ticket:
    """Read a ``.slth`` file.

    Args:
        path: the file.
        target: the target's weights: their file, or (weight, bias) by layer name; default: the file beside the
            ticket's, if it is there. Without one the ticket can be run, but not verified.

    Returns:
        The :class:`Ticket`.

    Raises:
        TicketFileError: missing, truncated, altered, not a ticket, of another format version, or another's target.
    """
    return Ticket.of(load_record(path, target))


def find_ticket(
    model: nn.Module | Target,
    *,
    width: int | dict[str, int],
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    structure: str = "channel",
    seed: int = 0,
    input_range: Range | Mapping[str, Range] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    method: str = "auto",
    scale: str | float = "auto",
    law: str = "normal",
    threads: int | None = None,
    max_memory: float | None = None,
    progress: bool | Progress = False,
) -> Ticket:
    r"""Find hidden channels of a random parent whose sum is the target, layer by layer, without training.

    For input channel c with kernel slice K_c and usable hidden channels t of sign ±:

    .. math:: \min_{S} \Big\| \sum_{t \in S} |u_t| V_t \mp K_c \Big\|_\infty

    for the whole slice (structure ``channel``), or for each of its kernels or weights with an S of its own.

    Args:
        model: a torch model (see :func:`slth.networks.extract`), or a target already extracted.
        width: hidden channels per input channel, both signs together (the paper's 2n): one number, or numbers for
            ``conv``, ``linear`` and layer names. More width, less error, in proportion.
        example_input: one input with its batch axis (a tuple for a model of several), to check shapes before any
            work starts.
        structure: what is kept or removed as a whole: ``channel`` (hidden channels, D = d²·c_out), ``kernel``
            (D = d²) or ``weight`` (D = 1).
        seed: fixes the parent. It is never redrawn.
        input_range: (lo, hi) of the inputs, or one for each input's name; None when inputs of any sign may come. A
            range with lo ≥ 0 (pixels) halves the work: only the positive sign group is needed.
        only: names or patterns of layers to replace; None for all of them.
        skip: names or patterns of layers to leave as they were trained.
        method: of :func:`slth.rss.solve`; of a wide layer it sees the small and some of the large candidates only,
            which is what ``relax`` uses.
        scale: of the parent's d×d layers: ``auto`` or a positive number; see :func:`slth.networks.make_parent`.
        law: of the parent's weights: ``normal`` or ``uniform``.
        threads: number of threads, None for every core; the ticket does not depend on it.
        max_memory: bytes to stay within (default: 80 % of free memory); a larger job is refused before it starts.
        progress: True for a bar for each layer, or an object with the methods of :class:`slth.progress.Progress`.

    Returns:
        A :class:`Ticket`.

    Raises:
        InputError: a model, width, scale, method or input that cannot be worked with.
        MemoryEstimateError: the search would not fit memory.

    Source: dacunha2023
    """
    extracted = isinstance(model, Target)
    if extracted and (example_input is not None or input_range is not None or only is not None or skip):
        raise InputError(
            "example_input, input_range, only and skip belong to extract() when a Target is passed; got them here. "
            "Call extract(model, example_input=…, input_range=…) with them."
        )
    check_choice("method", method, ("auto", *SOLVERS))
    check_choice("structure", structure, tuple(STRUCTURES))
    check_int("seed", seed, 0, 2**64 - 1)
    workers = thread_count(threads)
    if isinstance(model, Target):
        target = model
    else:
        target = extract(model, example_input=example_input, input_range=input_range, only=only, skip=skip)
    parent = make_parent(target, width=width, seed=seed, law=law, scale=scale, structure=structure)
    info: dict[str, Any] = {"method": method, "environment": environment()}
    if not extracted:  # the range of an extracted target is known to its extractor only
        info["input_range"] = as_recorded(input_range)
    if example_input is not None:
        examples = example_input if isinstance(example_input, tuple) else (example_input,)
        info["input_shapes"] = [list(one.shape[1:]) for one in examples]
    found = search(
        parent,
        target,
        structure=structure,
        method=method,
        workers=workers,
        max_memory=max_memory,
        progress=progress,
        info=info,
    )
    return Ticket.of(found)
