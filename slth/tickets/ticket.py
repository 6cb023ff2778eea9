"""The ticket: a record with methods to run, verify and save it. A search finds one, or a file holds one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slth.environment import environment
from slth.errors import InputError, check_choice, check_int, check_positive
from slth.networks.extract import extract
from slth.networks.graph import GraphNetwork
from slth.networks.parent_sizes import make_parent
from slth.networks.signs import Range
from slth.networks.structure import STRUCTURES
from slth.networks.target import Target
from slth.progress import Progress
from slth.rss import SOLVERS
from slth.rss.control import DEFAULT_EFFORT
from slth.rss.threads import thread_count
from slth.tickets.calibration.inputs import CalibrationInputs, Inputs
from slth.tickets.calibration.search import calibrated_search
from slth.tickets.checks.verification import Verification, verify_record
from slth.tickets.files.file import load_record, save_record
from slth.tickets.files.header import Weights
from slth.tickets.networks.compact import compact_module
from slth.tickets.networks.explicit import make_masks
from slth.tickets.networks.folded import folded_module
from slth.tickets.record.random_kept import random_kept
from slth.tickets.record.record import Kept, Record
from slth.tickets.search.search import search


@dataclass(frozen=True, kw_only=True, eq=False)
class Ticket(Record):
    """A structured subnetwork of a random parent that approximates a target, found without training.

    Attributes:
        parent: the random network, as a specification: its weights follow from the seed and are not stored.
        target: the network that the ticket approximates.
        structure: what is kept or removed as a whole: ``channel`` (hidden channels), ``kernel`` or ``weight``.
        kept: kept[layer][channel] is the :class:`~slth.tickets.record.record.Block` of that input channel.
        layers: one report for each layer.
        info: how the ticket was found (method, shapes of the inputs, environment), and its certificates. The
            environment is not in the ticket's file.

    Source: dacunha2023
    """

    @staticmethod
    def of(record: Record) -> Ticket:
        """The ticket that consists of a record."""
        return Ticket(**{name: getattr(record, name) for name in Record.__dataclass_fields__})

    def to_module(self) -> GraphNetwork:
        """The ticket as a network that holds only the kept channels, with the inputs and outputs of the target.

        Each linear map becomes a grouped 1×1 convolution onto the kept channels, a ReLU, and a d×d convolution. A
        linear layer becomes the same with matrices. With structure ``channel`` the network has no zeros for what was
        removed; only the groups of a grouped convolution are filled up to equal size. The structures ``kernel`` and
        ``weight`` leave zeros in the d×d layer.

        Returns:
            The network, float32, in evaluation mode.
        """
        return compact_module(self)

    def folded(self) -> GraphNetwork:
        """The function of the ticket at the size and cost of the target: every sum of kept candidates is one kernel.

        The result is no longer a subnetwork of the parent. It serves to measure wide tickets fast. The network of
        :meth:`to_module` agrees with it up to rounding.

        Returns:
            The network, float32, in evaluation mode.
        """
        return folded_module(self)

    def masks(self) -> dict[str, dict[str, torch.Tensor]]:
        """0/1 masks over the explicit parent, for small widths, in the form ``torch.nn.utils.prune`` takes.

        Returns:
            Name of a layer → name of a parameter → bool tensor. ``mixing`` (width·c_in, c_in) is zero outside the
            channel blocks and in the rows of removed filters; ``kernel`` (c_out, width·c_in/groups, d, …) is zero where
            something is removed. A layer with a bias also has ``bias`` (width,) and ``bias_kernel`` (c_out, width).

        Raises:
            MemoryEstimateError: the masks would not fit memory.
        """
        return make_masks(self)

    def verify(
        self,
        images: torch.Tensor | None = None,
        *,
        calibrate: Inputs | None = None,
        progress: bool | Progress = False,
    ) -> Verification:
        """Regenerate the kept channels from the seed and recompute every error.

        A recorded network certificate is proved again. With ``images``, so is a recorded certified agreement.

        Args:
            images: the data that a recorded certified agreement is about, float32 (N, …).
            calibrate: the inputs that the ticket was calibrated on. Its goals are computed again from them, and the
                errors against these goals are compared with the recorded ones, within the rounding of float32.
            progress: True for bars with the time left, or an object with the methods of
                :class:`slth.progress.Progress`.

        Returns:
            A :class:`~slth.tickets.checks.verification.Verification`. It is true only if every check holds.
        """
        return verify_record(self, images, calibrate=calibrate, progress=progress)

    def save(self, path: str | Path) -> Path:
        """Write a ``.slth`` file, whole or not at all; :func:`slth.tickets.load_ticket` reads it.

        Args:
            path: the file to write. The target's weights and a card are written beside it.

        Returns:
            ``path``.

        Raises:
            InputError: the file has the name of its card, or the folder cannot be written to.
        """
        return save_record(self, path)

    def random_like(self, seed: int = 0) -> Kept:
        """Draw a random control, which in every part and sign keeps as many hidden channels as the ticket.

        Args:
            seed: seed of the draw.

        Returns:
            Blocks of the same sizes as those in :attr:`kept`.
        """
        return random_kept(self, seed)


def load_ticket(path: str | Path, target: str | Path | Weights | None = None) -> Ticket:
    """Read a ``.slth`` file.

    Args:
        path: the file to read.
        target: the target's weights: their file, or name of a layer → (weight, bias). The default is the file beside
            the ticket's, if there is one. Without the weights the ticket can be run, but not verified.

    Returns:
        The :class:`Ticket`.

    Raises:
        TicketFileError: the file is missing, truncated, altered, not a ticket or of another format version; or the
            target is not the one that the ticket was found for.
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
    effort: float = DEFAULT_EFFORT,
    scale: str | float = "auto",
    law: str = "normal",
    threads: int | None = None,
    time_limit: float | None = None,
    max_memory: float | None = None,
    calibrate: Inputs | None = None,
    progress: bool | Progress = False,
) -> Ticket:
    r"""Find hidden channels of a random parent whose sums approximate the target, layer by layer, without training.

    For input channel c with kernel slice K_c and usable hidden channels t of sign ±:

    .. math:: \min_{S} \Big\| \sum_{t \in S} |u_t| V_t \mp K_c \Big\|_\infty

    The structure ``channel`` has one S for the whole slice; ``kernel`` and ``weight`` have one for each kernel or
    weight of it.

    Args:
        model: a torch model (see :func:`slth.networks.extract`), or a target that was already extracted.
        width: hidden channels per input channel, both signs together (the paper's 2n). It is one number, or a number
            for each of ``conv``, ``linear`` and names of layers. The error falls about in proportion to 1/width.
        example_input: one input with its batch axis (a tuple for a model of several inputs), on which the model is
            recorded. None derives one from the first layer, for a model of one input. The ticket remembers its shape.
        structure: what is kept or removed as a whole: ``channel`` (hidden channels, D = d²·c_out), ``kernel``
            (D = d²) or ``weight`` (D = 1).
        seed: seed of the parent. The parent is never drawn again.
        input_range: (lo, hi) of the inputs, or name of an input → its (lo, hi); None when inputs can have any sign. A
            range with lo ≥ 0, as of pixels, halves the work, because only the positive sign group is needed.
        only: names or patterns of the layers to replace; None for all.
        skip: names or patterns of the layers to leave as they were trained.
        method: solver of :func:`slth.rss.solve`, or ``auto``. In a wide layer the solver gets the small candidates and
            only some of the large ones; ``relax`` uses no others.
        effort: seconds of one core (> 0) that each subset-sum problem may take, about, when there is no time limit.
            They are counted in steps, so the ticket does not depend on the speed of the machine. More effort finds
            smaller errors where D is at most about 12.
        scale: scale of the parent's d×d layers: ``auto`` or a positive number; see :func:`slth.networks.make_parent`.
        law: law of the parent's weights: ``normal`` or ``uniform``.
        threads: number of threads; None for one on every core. Without a time limit the ticket does not depend on it.
        time_limit: seconds of wall time (> 0) for the whole search; None sets no limit, and the search ends by itself.
            Each instance gets a fair part of the time that is left, and methods that can use all of it do so.
            ``auto``, ``relax``, ``local`` and ``pursuit`` make their first pass whatever the limit. The ticket then
            depends on the speed of the machine: the same call does not give the same ticket again.
            ``info["time_limit"]`` says how many instances of each layer ended at the limit. A search that is more than
            a tenth and a second over the limit is given up. Code is loaded before the time starts.
        max_memory: bytes that the search may use; None for 80 % of free memory. A larger search is refused before it
            starts.
        calibrate: unlabelled inputs of the network, (N, …), or a tuple for several inputs. Their statistics decide
            which errors matter, and correct the goals K_c layer by layer; see ``docs/calibration.md``. The parent stays
            as the seed drew it. The ticket then approximates the target on inputs like these, and less so on others.
            None finds the ticket from the weights alone.
        progress: True for a bar for each layer, or an object with the methods of :class:`slth.progress.Progress`.

    Returns:
        A :class:`Ticket`.

    Raises:
        InputError: the model, the width, the scale, the method or an input is not valid; or the time limit is too
            short for a look at every instance.
        MemoryEstimateError: the search would not fit memory.

    Source: dacunha2023
    """
    extracted = isinstance(model, Target)
    if extracted and (example_input is not None or input_range is not None or only is not None or skip):
        raise InputError(
            "when a Target is passed, example_input, input_range, only and skip belong to extract(); got them here. "
            "Pass them as extract(model, example_input=…, input_range=…)."
        )
    check_choice("method", method, ("auto", *SOLVERS))
    check_choice("structure", structure, tuple(STRUCTURES))
    check_int("seed", seed, 0, 2**64 - 1)
    check_positive("effort", effort, "It is in seconds of one core, counted in steps.")
    workers = thread_count(threads)
    if time_limit is not None:
        check_positive("time_limit", time_limit, "It is in seconds.")
    if isinstance(model, Target):
        target = model
    else:
        target = extract(model, example_input=example_input, input_range=input_range, only=only, skip=skip)
    parent = make_parent(target, width=width, seed=seed, law=law, scale=scale, structure=structure)
    info: dict[str, Any] = {"method": method, "effort": effort, "environment": environment()}
    if target.example_shapes:
        info["input_shapes"] = [list(shape) for shape in target.example_shapes]
    if set(target.example_types) - {"float32"}:
        info["input_types"] = list(target.example_types)
    options: dict[str, Any] = {
        "structure": structure,
        "method": method,
        "workers": workers,
        "effort": effort,
        "time_limit": time_limit,
        "max_memory": max_memory,
        "progress": progress,
        "info": info,
    }
    if calibrate is None:
        return Ticket.of(search(parent, target, **options))
    return Ticket.of(calibrated_search(parent, target, CalibrationInputs.of(calibrate, target), **options))
