"""``lam-export validate``: compare a bundle with its checkpoint."""

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from lam_engines.errors import LamError
from lam_engines.runtimes.registry import REFERENCE

from ._console import examples, out, say
from ._options import MADE_FROM, PRECISION, BundlePlace, Engine, Json, Teacher, Verbose
from ._parity import parity_tables, say_what_was_checked, show_bisection
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export validate my-model --checkpoint my-checkpoint",
    "lam-export validate my-model --checkpoint student.safetensors --teacher all-MiniLM-L6-v2 --json > parity.json",
    "lam-export validate my-model --checkpoint my-checkpoint --engine tensorrt",
    "lam-export validate my-model --checkpoint my-checkpoint --cosine 0.9999999 --bisect",
)


def run(
    bundle: BundlePlace,
    checkpoint: Annotated[Path, typer.Option(help=f"{MADE_FROM}.", show_default=False)],
    teacher: Teacher = None,
    max_abs: Annotated[
        float | None, typer.Option(help="Largest allowed difference of any element.", show_default="2e-5; fp16 2e-3")
    ] = None,
    cosine: Annotated[
        float | None, typer.Option(help="Smallest allowed cosine of any text.", show_default="0.999999; fp16 0.9995")
    ] = None,
    engine: Engine = REFERENCE,
    precision: Annotated[
        str | None,
        typer.Option(help=PRECISION, show_default=f"all graphs in {REFERENCE}; else the engine's default"),
    ] = None,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Find the fewest parts that must stay in float32 so that fp16 passes.")
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Compare every graph of a bundle with the PyTorch reference in float64, on awkward lengths and padded batches.

    Exits with 0 if every text of every case is within the thresholds, with 2 if not.
    """
    from lam_export.pipelines.validate_bundle import validate_bundle

    if json and bisect:
        raise LamError("expected --json or --bisect, found both; leave one out")
    with shown_progress() as progress:
        found = validate_bundle(
            bundle,
            checkpoint,
            teacher=teacher,
            max_abs=max_abs,
            cosine=cosine,
            engine=engine,
            precision=precision,
            bisect=bisect,
            verbose=verbose,
            progress=progress,
        )
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))
    else:
        if found.checkpoint_sha256 != found.made_from_sha256:
            say(out, f"note: the bundle was not made from {found.weights}", style="yellow")
        out.print(parity_tables(found.parity))
        out.print("[bold green]PASS[/]" if found.passed else "[bold red]FAIL[/]")
        if found.passed:
            say_what_was_checked(found.parity, bundle, checkpoint, teacher)
        if found.bisection is not None:
            show_bisection(found.bisection, checkpoint, bundle)
    if not found.passed:
        raise typer.Exit(2)
