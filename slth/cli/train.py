"""The commands ``slth train`` and ``slth compare``: tickets that are trained, beside those that are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from slth.cli.show import Json, echo, echo_json, echo_news, table
from slth.errors import InputError, check_positive
from slth.files import check_folder

# Where the help finds the method: a key of the parser's context.
METHOD = "slth.train.method"

Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="An option of the method, as name=value; may be repeated. 'slth train METHOD --help' lists them.",
    ),
]


class TrainCommand(TyperCommand):
    """The command ``slth train``, whose help shows the options of the method that is named on the line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember the method before the line is parsed: ``--help`` stops the parsing.

        Args:
            ctx: the parser's context.
            args: the words that follow ``slth train``.
        """
        try:
            ctx.meta[METHOD] = self.make_parser(ctx).parse_args(args=list(args))[0].get("method")
        except Exception:  # a line that cannot be parsed is refused below, with the parser's own message
            ctx.meta[METHOD] = None
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, and below it what can be set of the method.

        Args:
            ctx: the parser's context.
            formatter: see typer; it writes the help.
        """
        super().format_help(ctx, formatter)
        _print_settings(str(ctx.meta[METHOD]))


def train(
    method: Annotated[str, typer.Argument(help="A method; 'slth train list' names them.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run; a second call goes on, or says what is there. \\[required, but for 'list']"
        ),
    ] = None,
    arch: Annotated[str, typer.Option(help="A built-in architecture.")] = "lenet5",
    data: Annotated[str, typer.Option(help="A data set; see 'slth data list'.")] = "mnist",
    density: Annotated[float | None, typer.Option(help="Fraction of weights to keep, in (0, 1]; default: 0.1.")] = None,
    epochs: Annotated[int, typer.Option(help="Epochs of one training run of the search.")] = 5,
    finetune: Annotated[int, typer.Option(help="Epochs of fine-tuning after the search.")] = 0,
    seed: Annotated[int, typer.Option(help="Of weights, scores and the order of the data.")] = 0,
    examples: Annotated[int | None, typer.Option(help="Training images to use; all without it.")] = None,
    validation: Annotated[int, typer.Option(help="Training images to hold out.")] = 1000,
    option: Pairs = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="A change to the method's recipe, as name=value (learning_rate, batch, optimiser, …)."),
    ] = None,
    tune: Annotated[
        list[str] | None, typer.Option(help="A change to the recipe of fine-tuning, as name=value; needs --finetune.")
    ] = None,
    sanity: Annotated[bool, typer.Option(help="Fine-tune shuffled and redrawn tickets as well.")] = False,
    unknown: Annotated[str, typer.Option(help="A data set of unknown inputs, for AUROC.")] = "",
    corrupted: Annotated[int, typer.Option(help="Severity of corrupted test inputs, 1 to 5; 0 for none.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard files.")] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(help="Seconds, after which the run stops; the same command goes on from its last finished epoch."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a ticket (or a dense network) and measure it once on test data."""
    from slth.experiments.contest.catalogue import SUMMARIES, WITHOUT_DENSITY

    if method == "list":
        if as_json:
            echo_json(SUMMARIES)
        else:
            table(("method", "what"), list(SUMMARIES.items()), numbers=False)
            echo("strong: the weights stay as they were drawn. The options of a method: slth train METHOD --help")
        return
    if method not in SUMMARIES:
        raise InputError(f"method must be one of {', '.join(SUMMARIES)}; got {method!r}. See: slth train list")
    if out is None:
        raise InputError("slth train needs a folder to write to; got none. Add --out run/.")
    if density is not None and method in WITHOUT_DENSITY:
        raise InputError(f"{method} has no --density: {WITHOUT_DENSITY[method]}. Leave it out.")
    if tune and not finetune:
        raise InputError("--tune needs fine-tuning, whose recipe it changes; got --finetune 0. Add --finetune EPOCHS.")
    if tensorboard is not None:
        check_folder(tensorboard, "--tensorboard")
    density = (1.0 if method in WITHOUT_DENSITY else 0.1) if density is None else density

    from pydantic import ValidationError

    from slth.cli.arguments import parse_pairs
    from slth.experiments.contest.contestant import Contestant
    from slth.experiments.contest.solo import check_device, read_result, run_one
    from slth.progress import Bars, Deadline, Progress, Several

    try:
        point = Contestant(
            method=method, arch=arch, data=data, density=density, epochs=epochs, finetune=finetune, examples=examples,
            validation=validation, options=parse_pairs("--option", option), recipe=parse_pairs("--recipe", recipe),
            tune=parse_pairs("--tune", tune), sanity=sanity, unknown=unknown, corrupted=corrupted,
        )  # fmt: skip
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(f"--{first['loc'][0]}: {said}; got {first['input']!r}.") from cause

    if read_result(out) is None:  # a finished run is only shown
        check_folder(out, "--out")
    parts: list[Progress] = [] if as_json else [Bars(write=echo_news, transient=True)]
    if tensorboard is not None:
        from slth.baselines.tensorboard import TensorBoard

        parts.append(TensorBoard(tensorboard))
    if time_limit is not None:
        check_positive("--time-limit", time_limit, "It is in seconds.")
        parts.append(Deadline(time_limit, f"Finished epochs are kept in {out}: the same command goes on from there."))
    stored = run_one(point, seed, out, device=check_device(device), progress=Several(parts))
    if as_json:
        echo_json(stored)
        return
    _print_result(stored, out)


def _print_settings(method: str) -> None:
    """Print a method's own options and its recipe, with their defaults; nothing for a word that is no method."""
    from slth.experiments.contest.catalogue import SUMMARIES, WITHOUT_DENSITY

    if method not in SUMMARIES:
        return
    from slth.baselines.recipe import Recipe
    from slth.experiments.contest.methods import SETTINGS
    from slth.experiments.contest.options import attribute_meanings

    settings = SETTINGS.get(method)
    if settings is None:
        return
    echo(f"{method}: {SUMMARIES[method]}")
    if method in WITHOUT_DENSITY:
        echo(f"It has no --density: {WITHOUT_DENSITY[method]}.")
    echo()
    if settings.options:
        echo("Options of this method: --option NAME=VALUE, the value as text or as JSON (true, null, [1, 2])")
        rows = [(one.name, _as_given(one.default), one.meaning) for one in settings.options]
        table(("name", "default", "meaning"), rows, numbers=False)
    else:
        echo("This method has no options of its own.")
    echo()
    if settings.recipe is None:
        echo("It does not train, so it has no recipe; --tune changes that of its fine-tuning.")
        return
    echo("Its recipe: --recipe NAME=VALUE")
    meanings = attribute_meanings(Recipe)
    held = settings.recipe.as_dict()
    rows = [(name, _as_given(held[name]), meanings[name]) for name in held if name not in ("epochs", "seed")]
    table(("name", "default", "meaning"), rows, numbers=False)


def _as_given(value: Any) -> str:
    """A default as it would be given: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _print_result(stored: dict[str, Any], out: Path) -> None:
    from slth.experiments.contest.judge import MEASURES, STAGES

    result = stored["result"]
    rows = [
        (STAGES[name], *(_format_measure(stage.get(measure), percent) for measure, (_, percent) in MEASURES.items()))
        for name, stage in result["stages"].items()
        if "error" not in stage
    ]
    table(("ticket", *(shown for shown, _ in MEASURES.values())), rows)
    for name, stage in result["stages"].items():
        if "error" in stage:
            echo(f"{STAGES[name]}: {stage['error']}")
    touched = "untouched" if result["untouched"] else "trained"
    echo(
        f"keeps {result['kept']:,} of {result['total']:,} weights (density {result['density']:.4g}), {touched}; "
        f"{result['epochs']:.1f} epochs, {result['seconds']:.1f} s of search"
    )
    echo(f"written: {out}/result.json, {out}/ticket.safetensors")


def _format_measure(value: float | None, percent: bool) -> str:
    if value is None:
        return "–"
    return f"{value:.2%}" if percent else f"{value:.3f}"


def compare(
    spec: Annotated[str, typer.Argument(metavar="NAME|SPEC.toml", help="A spec of the study 'compare'.")],
    out: Annotated[Path, typer.Option(help="Folder for rows, figures and the report; a second run resumes.")],
    smoke: Annotated[bool, typer.Option("--smoke", help="The quick form.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes (default: one a core).")] = None,
) -> None:
    """Run a comparison of methods, print its tables, and write its figures and report: study run, plot and report."""
    from slth.cli.study import plot, report, run
    from slth.experiments.engine.spec import load_spec

    check_folder(out, "--out")
    study = load_spec(spec).study
    if study != "compare":
        raise InputError(
            f"slth compare takes specs of the study 'compare'; {spec} is of {study!r}. Use: slth study run"
        )
    run(spec, out, smoke=smoke, workers=workers)
    plot(out)
    report(out)
