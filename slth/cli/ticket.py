"""The command line of tickets: ``slth ticket find|verify|evaluate|show|export``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slth.cli.certify import Half, certify
from slth.cli.show import Json, echo, echo_json, table
from slth.cli.ticket_table import calibrated_on, print_ticket
from slth.errors import InputError
from slth.files import check_writable

ticket_app = typer.Typer(help="Find, verify, evaluate, show and export tickets.", no_args_is_help=True)
ticket_app.command(
    "certify", epilog="Example: slth ticket certify lenet5.slth --data mnist --radius 0,1/255 --limit 100"
)(certify)

File = Annotated[Path, typer.Argument(help="A .slth file.")]
Given = Annotated[
    Path | None, typer.Option("--target", help="The target's safetensors file; default: name.target.safetensors.")
]
Names = Annotated[list[str] | None, typer.Option(help="Layer name or pattern, e.g. layer1.*; may be repeated.")]


@ticket_app.command(
    "find",
    epilog="Example: slth ticket find --arch lenet5 --weights lenet5.safetensors --width conv=60000,linear=20000 "
    "--input-range 0,1 --out lenet5.slth",
)
def find(
    width: Annotated[str, typer.Option(help="One number, or e.g. conv=60000,linear=20000,fc3=5000.")],
    out: Annotated[Path, typer.Option(help="The .slth file to write.")],
    arch: Annotated[
        str | None, typer.Option(help="A built-in architecture, with --weights. This or --model is required.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights, a safetensors file.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="path.py:function that returns a model, or (model, example_input)."),
    ] = None,
    input_range: Annotated[
        str | None, typer.Option(help="lo,hi of the network's inputs, e.g. 0,1 for pixels. Default: any sign.")
    ] = None,
    structure: Annotated[
        str, typer.Option(help="What is kept or removed as a whole: channel, kernel or weight.")
    ] = "channel",
    only: Names = None,
    skip: Names = None,
    seed: Annotated[int, typer.Option(help="Seed of the random parent.")] = 0,
    law: Annotated[str, typer.Option(help="Law of its weights: normal or uniform.")] = "normal",
    method: Annotated[str, typer.Option(help="auto, or a method of `slth rss solve`.")] = "auto",
    effort: Annotated[
        float, typer.Option(help="Seconds of one core for each subset-sum problem, about, without a time limit.")
    ] = 0.002,
    threads: Annotated[int | None, typer.Option(help="Default: every core.")] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(help="Seconds for the whole search; the ticket then depends on the machine's speed."),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(help="digits, a name in $SLTH_DATA, or a folder: unlabelled training images weigh the errors."),
    ] = None,
    calibration_images: Annotated[
        int | None, typer.Option(min=1, help="With --calibrate: the first N training images; 4,096 if not given.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="For the card: what the target was trained to do.")] = None,
    data: Annotated[str | None, typer.Option(help="For the card: on which data.")] = None,
    licence: Annotated[str | None, typer.Option(help="For the card: the licence of the target's weights.")] = None,
    as_json: Json = False,
) -> None:
    """Find the ticket of a trained network in a random parent; save it, its target and its card."""
    from slth import data as datasets
    from slth.cli.arguments import check_text, load_target, parse_range, parse_width
    from slth.tickets import find_ticket
    from slth.tickets.files.file import target_path

    if check_writable(out, "--out").suffix != ".slth":
        raise InputError(f"--out must end in .slth; got {out}. For example: --out {out.with_suffix('.slth').name}")
    for beside in (target_path(out), out.with_suffix(".md")):
        check_writable(beside, "--out, with the target and the card beside it,")
    stated = {"task": task, "data": data, "licence": licence}
    for name, text in stated.items():
        check_text(f"--{name}", text or "")
    widths, span = parse_width(width), parse_range(input_range)
    if calibrate is None and calibration_images is not None:
        raise InputError(
            f"--calibration-images {calibration_images} needs --calibrate DATA. Name the data, or leave it out."
        )
    images = None if calibrate is None else datasets.load(calibrate, "train").images[: calibration_images or 4096]
    network, example = load_target(arch=arch, weights=weights, model=model)
    ticket = find_ticket(
        network,
        width=widths,
        example_input=example,
        input_range=span,
        structure=structure,
        only=only,
        skip=skip or (),
        seed=seed,
        law=law,
        method=method,
        effort=effort,
        threads=threads,
        time_limit=time_limit,
        calibrate=images,
        progress=not as_json,
    )
    ticket.info.update({key: value for key, value in stated.items() if value is not None})
    ticket.save(out)
    print_ticket(ticket, out, as_json, cost=False)
    if time_limit is not None and not as_json:
        limited = ticket.info["time_limit"]
        ended = {name: count for name, count in limited["at_limit"].items() if count}
        echo(
            f"time limit {time_limit:g} s: {sum(ended.values()):,} of {limited['instances']:,} instances ended at it"
            + "".join(f", {name} {count:,}" for name, count in ended.items())
        )


@ticket_app.command("verify", epilog="Example: slth ticket verify lenet5.slth")
def verify(
    file: File,
    target: Given = None,
    data: Annotated[
        str | None, typer.Option(help="digits, a name in $SLTH_DATA, or a folder: certified agreement is proved again.")
    ] = None,
    split: Half = "test",
    calibrate: Annotated[
        str | None, typer.Option(help="The data that the ticket was calibrated on: its goals are computed again.")
    ] = None,
    expect: Annotated[
        str | None, typer.Option(help="The target's hash that you trust, or how it begins; another one fails.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when anything was not checked.")] = False,
    as_json: Json = False,
) -> None:
    """Regenerate the kept channels from the seed, recompute every error, and prove a recorded certificate again."""
    from slth.cli.arguments import parse_hash

    trusted = parse_hash(expect)

    from slth import data as datasets
    from slth.tickets import load_ticket
    from slth.tickets.files.card import inputs_in_words

    images = None if data is None else datasets.load(data, split).images
    ticket = load_ticket(file, target)
    seen = None if calibrate is None else datasets.load(calibrate, "train").images[: calibrated_on(ticket)]
    result = ticket.verify(images, calibrate=seen, progress=not as_json)
    failures = list(result.failures)
    if result and not result.target_hash.startswith(trusted):
        failures.append(f"the target has the hash {result.target_hash}, not the expected {trusted}")
    if strict:
        failures += [f"not checked: {claim}" for claim in result.unchecked]
    if as_json:
        echo_json({"ok": not failures, **asdict(result), "failures": failures})
    elif not failures:
        for claim in result.unchecked:
            echo(f"not checked: {claim}")
        echo(
            f"verified: {result.channels:,} kept channels regenerated from the seed, "
            f"{result.instances:,} subset sums recomputed, every error as recorded"
            + "".join(f"; {claim}" for claim in result.certified)
        )
        echo(f"target: SHA-256 {result.target_hash}, inputs: {inputs_in_words(ticket.target)}")
    if failures:
        if not as_json:
            for failure in failures:
                echo(f"error: {failure}", err=True)
        raise typer.Exit(1)


@ticket_app.command("evaluate", epilog="Example: slth ticket evaluate lenet5.slth --data mnist")
def evaluate(
    file: File,
    data: Annotated[str, typer.Option(help="digits, a name in $SLTH_DATA, or a folder with IDX files.")],
    split: Half = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N examples.")] = None,
    target: Given = None,
    folded: Annotated[
        bool, typer.Option("--folded", help="Sum kept channels first: the same function, fast for wide tickets.")
    ] = False,
    controls: Annotated[bool, typer.Option(help="Also a random ticket and, if small, the unpruned parent.")] = True,
    as_json: Json = False,
) -> None:
    """Accuracy of a ticket on data, beside its target and a random ticket of the same size."""
    from slth import data as datasets
    from slth import tickets

    ticket = tickets.load_ticket(file, target)
    chosen = datasets.load(data, split)
    if limit is not None:
        chosen = datasets.Split(chosen.images[:limit], chosen.labels[:limit])
    scores = tickets.evaluate(ticket, chosen, controls=controls, folded=folded, progress=not as_json)
    if as_json:
        echo_json({"examples": len(chosen), "scores": [asdict(score) for score in scores]})
        return
    table(
        ("network", "accuracy", "agrees with target", "hidden channels", "seconds"),
        [
            (s.name, f"{s.accuracy:.2%}", f"{s.agreement:.2%}", f"{s.hidden_channels:,}", f"{s.seconds:.1f}")
            for s in scores
        ],
    )


@ticket_app.command("show", epilog="Example: slth ticket show lenet5.slth --json")
def show(
    file: File,
    cost: Annotated[bool, typer.Option(help="Also run target and ticket: operations and milliseconds.")] = True,
    as_json: Json = False,
) -> None:
    """What a saved ticket holds and costs: parent, layers, kept channels, errors, bits, operations, latency."""
    from slth.tickets import load_ticket

    print_ticket(load_ticket(file), file, as_json, cost)


@ticket_app.command("export", epilog="Example: slth ticket export lenet5.slth --onnx lenet5.onnx")
def export(
    file: File,
    onnx: Annotated[Path | None, typer.Option(help="Write ONNX here; needs slth\\[export].")] = None,
    torch_export: Annotated[Path | None, typer.Option(help="Write a torch.export archive here.")] = None,
    safetensors: Annotated[Path | None, typer.Option(help="Write the module's state dict here.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="An input's shape without batch, e.g. 1,28,28. Default: as found.")
    ] = None,
) -> None:
    """Write a ticket's compact network for other programs, each checked against the ticket first."""
    from slth.cli.arguments import parse_shape
    from slth.tickets import load_ticket
    from slth.tickets.networks.export import export_ticket

    wanted = {"onnx": onnx, "torch-export": torch_export, "safetensors": safetensors}
    if not any(wanted.values()):
        raise InputError("nothing to write; expected --onnx, --torch-export or --safetensors with a file name.")
    for form, path in wanted.items():
        if path is not None:
            check_writable(path, f"--{form}")
    shapes = [parse_shape(text) for text in shape or ()]
    ticket = load_ticket(file)
    for form, path in wanted.items():
        if path is not None:
            gap = export_ticket(ticket, path, form, shapes=shapes, progress=True)
            echo(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB); its outputs agree to {gap:.1g}")
