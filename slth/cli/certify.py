"""The command ``slth ticket certify``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from slth.cli.show import Json, echo, echo_json, table
from slth.errors import InputError
from slth.files import check_writable

if TYPE_CHECKING:
    from slth.tickets import AgreementCertificate, NetworkCertificate, Ticket


# The parser refuses any other word, also where no data are named.
Half = Annotated[Literal["train", "test"], typer.Option(help="Half of the data set.")]


def certify(
    file: Annotated[Path, typer.Argument(help="A .slth file.")],
    target: Annotated[Path | None, typer.Option(help="The target's weights. Default: the file beside it.")] = None,
    data: Annotated[
        str | None, typer.Option(help="digits, a name in $SLTH_DATA, or a folder: certifies agreement on it.")
    ] = None,
    split: Half = "test",
    radius: Annotated[str, typer.Option(help="L∞ radii around the examples, e.g. 0,1/255,2/255.")] = "0",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N examples.")] = None,
    input_range: Annotated[str | None, typer.Option(help="lo,hi of the inputs. Default: the ticket's own.")] = None,
    shape: Annotated[str | None, typer.Option(help="Of one input, e.g. 1,28,28. Default: the ticket's own.")] = None,
    network: Annotated[bool, typer.Option(help="Bracket the largest difference over all inputs.")] = True,
    max_memory: Annotated[float, typer.Option(help="Bytes for the proof; more is tighter.")] = 1e9,
    seed: Annotated[int, typer.Option(help="Of the search for the worst input.")] = 0,
    save: Annotated[bool, typer.Option(help="Record the certificate in the file; `verify` proves it again.")] = True,
    as_json: Json = False,
) -> None:
    """Prove how far a ticket's outputs can be from its target's, and where both provably predict the same."""
    from slth import data as datasets
    from slth import tickets
    from slth.cli.arguments import parse_radii, parse_range, parse_shape

    radii = parse_radii(radius)
    ticket = tickets.load_ticket(file, target)
    if save:
        check_writable(file, "FILE, which --save writes to,")
    low, high = parse_range(input_range) or (None, None)
    if network:
        _check_range(ticket, low, high)
    images = None if data is None else datasets.load(data, split).images[:limit]
    if images is None and not network:
        raise InputError("there is nothing to certify: pass --data, or leave --no-network out.")
    bracket = None
    if network:
        bracket = tickets.certify_network(
            ticket,
            low=low,
            high=high,
            shape=None if shape is None else parse_shape(shape),
            images=images,
            max_memory=max_memory,
            seed=seed,
            progress=not as_json,
        )
    agreements = [
        tickets.certified_agreement(
            ticket, images, radius=one, low=low, high=high, max_memory=max_memory, progress=not as_json
        )
        for one in radii
        if images is not None
    ]
    record: dict[str, Any] = {
        "network": None if bracket is None else bracket.describe(),
        "agreement": [one.describe() for one in agreements],
    }
    if save:
        ticket.info["certificate"] = record
        ticket.save(file)
    if as_json:
        echo_json(record)
        return
    if bracket is not None:
        _print_network(bracket)
    if agreements:
        _print_agreements(agreements)


def _check_range(ticket: Ticket, low: float | None, high: float | None) -> None:
    """Refuse to certify a network for all inputs without a finite range of them."""
    if low is not None and high is not None:
        if not _is_range((low, high)):
            raise InputError(f"--input-range must be lo,hi with lo ≤ hi, both finite; got {low:g},{high:g}.")
        return
    known = ticket.target.input_range
    if not _is_range(known):
        raise InputError(
            f"a certificate for all inputs needs a finite range of them; the ticket states {known}. "
            "Pass --input-range lo,hi, such as 0,1 for pixels; or certify the agreement on data alone, with --data and "
            "--no-network."
        )


def _is_range(value: object) -> bool:
    """Whether a value, perhaps from a forged file, is a pair of finite numbers low ≤ high."""
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(end, float | int) for end in value):
        return False
    return bool(-math.inf < value[0] <= value[1] < math.inf)


def _print_network(bracket: NetworkCertificate) -> None:
    """Print the bracket of a network's largest difference, and how it grew layer by layer."""
    table(
        ("layer", "found", "proved", "open signs"),
        [(one.name, f"{one.found:.3g}", f"{one.proved:.3g}", f"{one.open:.0%}") for one in bracket.limits],
    )
    observed = "" if bracket.observed is None else f"; observed on data {bracket.observed:.3g}"
    echo(
        f"largest output difference over [{bracket.low:g}, {bracket.high:g}]: between {bracket.found:.4g} (found) and "
        f"{bracket.proved:.4g} (proved), ratio {bracket.ratio:.3g}{observed}; "
        f"norms alone prove {bracket.norm_bound:.3g} ({bracket.seconds:.1f} s)"
    )


def _print_agreements(agreements: list[AgreementCertificate]) -> None:
    """Print the certified fraction for each radius."""
    table(
        ("radius", "examples", "certified", "fraction", "observed at 0", "median proved difference", "seconds"),
        [
            (
                f"{one.radius:.4g}",
                f"{len(one.certified):,}",
                f"{int(one.certified.sum()):,}",
                f"{one.fraction:.2%}",
                f"{float(one.observed.mean()):.2%}",
                f"{one.describe()['median_difference'] or float('nan'):.3g}",
                f"{one.seconds:.1f}",
            )
            for one in agreements
        ],
    )
