"""``lam-export profile``: where the time goes, by part of the model."""

from pathlib import Path
from typing import Annotated

import typer

from lam_engines.runtimes.registry import DEFAULT, names, one_of

from ._console import examples, note, out, say
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export profile my-model",
    "lam-export profile my-model --shape 1x512 --shape 32x32 --threads 2 --layers",
    "lam-export profile my-model --engine onnxruntime --engine openvino -o profile",
    "lam-export profile my-model --engine pytorch --checkpoint my-checkpoint --shape 8x512",
    "lam-export profile my-model --precision int8 --shape 1x4096 --json > profile.json",
)


def run(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", show_default=False)],
    engines: Annotated[
        list[str] | None,
        typer.Option("--engine", help=f"{one_of((*names(), 'pytorch'))}; may be repeated.", show_default=DEFAULT),
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option("--precision", help="fp32, fp16 or int8; may be repeated.", show_default="fp32; tensorrt fp16"),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The checkpoint that the bundle was made from, for pytorch.", show_default=False),
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Its teacher, if it needs one.", show_default=False)] = None,
    shapes: Annotated[
        list[str] | None,
        typer.Option(
            "--shape", help="Texts x tokens: 32x128; may be repeated.", show_default="1x128, 32x32, 1x512, 1x4096"
        ),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show each layer.")] = False,
    seconds: Annotated[float, typer.Option(min=0, help="To measure each shape, 5 runs at least.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="On a CPU.", show_default="one per core")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the results.", show_default="BUNDLE/reports/profile"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Lay an engine's time to the parts of the model: projections, convolutions, rule, gates, norms, FFN and others.

    Embeddings are compared first; wrong ones get no times, and the exit code is 2. Plain and profiled runs take turns,
    so that the cost of profiling is seen. Writes profile.html, profile.md and profile.json.
    """
    from lam_export.bench.speed.shapes import parse_shape
    from lam_export.evidence.record import terminal, to_json
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
    if json:
        typer.echo(to_json(written.shown.record), nl=False)
    else:
        out.print(terminal(written.shown))
        say(out, f"Wrote {written.folder / 'profile.html'}, profile.md and profile.json", style="green")
    if not written.shown.record.matched:
        raise typer.Exit(2)
