"""``lam-export profile``: where the time goes, by part of the model."""

from pathlib import Path
from typing import Annotated

import typer

from lam_engines.errors import LamError

from ._console import err, examples, out, say
from ._requirements import require

EXAMPLES = examples(
    "lam-export profile my-model",
    "lam-export profile my-model --shape 1x512 --shape 32x32 --threads 2 --layers",
    "lam-export profile my-model --engine onnxruntime --engine openvino -o profile",
    "lam-export profile my-model --engine pytorch --checkpoint my-checkpoint --shape 8x512",
    "lam-export profile my-model --precision int8 --shape 1x4096 --json > profile.json",
)
_DEFAULT_FOLDER = Path("reports", "profile")


def run(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", show_default=False)],
    engines: Annotated[
        list[str] | None,
        typer.Option(
            "--engine", help="onnxruntime, openvino, tensorrt or pytorch; may be repeated.", show_default="onnxruntime"
        ),
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
        typer.Option("--output", "-o", help="Folder of the results.", show_default=f"BUNDLE/{_DEFAULT_FOLDER}"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Lay an engine's time to the parts of the model: projections, convolutions, rule, gates, norms, FFN and others.

    Embeddings are compared first; wrong ones get no times, and the exit code is 2. Plain and profiled runs take turns,
    so that the cost of profiling is seen. Writes profile.html, profile.md and profile.json.
    """
    require("polygraphy", "jinja2", "onnx", extra="report")
    require("onnxruntime", extra="cpu")
    from lam_engines.bundles.bundle import Bundle
    from lam_export.bench.profile.profile_folder import profile_terminal, to_json, write_profile
    from lam_export.bench.profile.session import SHAPES, parse_shape, profiled
    from lam_export.bench.profile.subjects import Checkpoint, chosen
    from lam_export.evidence.provenance import Setting
    from lam_export.validate.report.folder import check_folder

    from ._progress import counted_steps

    opened = Bundle(bundle)
    folder = output or bundle / _DEFAULT_FOLDER
    check_folder(folder)
    wanted = [parse_shape(shape) for shape in shapes] if shapes else SHAPES
    model = None if checkpoint is None else Checkpoint(checkpoint, teacher)
    found = chosen(opened, engines, precisions, model)
    setting = Setting.here(threads)
    if warning := setting.warning():
        say(err, warning, style="yellow")
    with counted_steps() as (begin, advance):
        profile = profiled(
            opened,
            setting,
            found,
            wanted,
            checkpoint=model,
            seconds=seconds,
            begin=begin,
            advance=advance,
        )
    if all(result.status == "not run" for result in profile.results):
        raise LamError(f"nothing could be timed; {profile.results[0].entrant}: {profile.results[0].note}")
    write_profile(folder, profile, layers=layers)
    if json:
        typer.echo(to_json(profile), nl=False)
    else:
        out.print(profile_terminal(profile, layers=layers))
        say(out, f"Wrote {folder / 'profile.html'}, profile.md and profile.json", style="green")
    if not profile.matched:
        raise typer.Exit(2)
