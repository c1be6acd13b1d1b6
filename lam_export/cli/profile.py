"""``lam-export profile``: how much time each part of the model takes."""

from pathlib import Path
from typing import Annotated

import typer

from lam_engines.runtimes.registry import DEFAULT, engines, one_of

from ._console import examples, note
from ._options import (
    DEFAULT_PRECISIONS,
    MADE_FROM,
    PRECISION,
    BundleArgument,
    Json,
    Teacher,
    Threads,
    results_in,
    several,
)
from ._progress import shown_progress
from ._record import print_record

EXAMPLES = examples(
    "lam-export profile my-model",
    "lam-export profile my-model --shape 1x512 --shape 32x32 --threads 2 --layers",
    "lam-export profile my-model --engine onnxruntime --engine openvino -o profile",
    "lam-export profile my-model --engine pytorch --checkpoint my-checkpoint --shape 8x512",
    "lam-export profile my-model --precision int8 --shape 1x4096 --json > profile.json",
)


def run(
    bundle: BundleArgument,
    engines: Annotated[
        list[str] | None,
        several(f"Engine to run: {one_of((*engines(), 'pytorch'))}.", "--engine", default=DEFAULT),
    ] = None,
    precisions: Annotated[list[str] | None, several(PRECISION, "--precision", default=DEFAULT_PRECISIONS)] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help=f"{MADE_FROM}. The engine pytorch needs it.", show_default=False),
    ] = None,
    teacher: Teacher = None,
    shapes: Annotated[
        list[str] | None,
        several("Texts x tokens of a batch, such as 32x128.", "--shape", default="1x128, 32x32, 1x512, 1x4096"),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also show each layer.")] = False,
    seconds: Annotated[float, typer.Option(min=0, help="Seconds to measure each shape; at least 5 runs.")] = 5,
    threads: Threads = None,
    output: Annotated[Path | None, results_in("BUNDLE/reports/profile")] = None,
    json: Json = False,
) -> None:
    """Show how much time each part of the model takes: projections, convolutions, rule, gates, norms, FFN and others.

    Embeddings are compared first. What gives wrong embeddings is not timed, and the exit code is 2. Plain and profiled
    runs alternate, so the cost of profiling is known. Writes profile.html, profile.md and profile.json.
    """
    from lam_export.bench.speed.shapes import parse_shape
    from lam_export.pipelines.profile import profile

    with shown_progress() as progress:
        written = profile(
            bundle,
            engines=engines or [DEFAULT],
            precisions=precisions,
            checkpoint=checkpoint,
            teacher=teacher,
            shapes=[parse_shape(shape) for shape in shapes or ()],
            layers=layers,
            seconds=seconds,
            threads=threads,
            output=output,
            progress=progress,
            warn=note,
        )
    print_record(written.shown, written.folder, "profile.html, profile.md and profile.json", json=json)
