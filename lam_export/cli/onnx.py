"""``lam-export onnx``: a checkpoint to a verified bundle."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from lam_engines.contract import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from lam_engines.errors import LamError

from ._console import examples, out, say
from ._parity import parity_tables
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export onnx my-checkpoint -o my-model",
    "lam-export onnx student.safetensors --teacher all-MiniLM-L6-v2 -o my-model --inline",
    "lam-export onnx my-checkpoint -o my-model --precision fp16 --precision int8",
    "lam-export onnx my-checkpoint -o my-model --form recurrent --stream",
)
_OUTPUTS = (SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS)
"""The first is always there."""


def run(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder, or its weights file.", show_default=False)],
    output: Annotated[Path, typer.Option("--output-bundle", "-o", help="The bundle to write.", show_default=False)],
    teacher: Annotated[
        Path | None,
        typer.Option(help="BERT that gives what the checkpoint does not hold (folder).", show_default=False),
    ] = None,
    form: Annotated[
        str, typer.Option(help="Form of the delta rule that the model was trained in: flat, recurrent or parallel.")
    ] = "flat",
    chunk_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65536,
            help="Tokens in a chunk, as the model was trained.",
            show_default="128; recurrent 32; parallel has none",
        ),
    ] = None,
    opset: Annotated[
        int, typer.Option(min=18, max=23, help="ONNX opset. 20 is the lowest with Gelu; 18 spells it out.")
    ] = 20,
    output_names: Annotated[
        list[str] | None,
        typer.Option(
            "--output", help="Give the graph this output too: token_embeddings (not in int8).", show_default=False
        ),
    ] = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="Also write model.inlined.onnx, for runtimes that know no local functions.")
    ] = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="With --form recurrent: also write model.stream.onnx, for texts that come in pieces (embed_stream).",
        ),
    ] = False,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="Also write model.fp16.onnx (fp16, for GPUs) or model.int8.onnx (int8, for CPUs); may be repeated.",
            show_default="fp32, which is always written",
        ),
    ] = None,
    keep_fp32: Annotated[
        list[str] | None,
        typer.Option(
            help="A part that stays float32 in model.fp16.onnx, as layers.3.ffn_in; validate --bisect finds which need "
            "to; may be repeated.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the exporter's own messages.")] = False,
) -> None:
    """Export a checkpoint to a bundle with ONNX graphs, compared with the PyTorch reference before it is written."""
    from lam_export.pipelines.export_onnx import export_onnx

    wanted = set(output_names or ())
    if not wanted <= set(_OUTPUTS):
        raise LamError(f"expected --output {TOKEN_EMBEDDINGS}, found {', '.join(sorted(wanted))}")
    with shown_progress() as progress:
        exported = export_onnx(
            checkpoint,
            output,
            teacher=teacher,
            form=form,
            chunk_size=chunk_size,
            opset=opset,
            token_embeddings=TOKEN_EMBEDDINGS in wanted,
            inline=inline,
            stream=stream,
            precisions=precision or (),
            keep_fp32=keep_fp32 or (),
            force=force,
            verbose=verbose,
            progress=progress,
        )
    out.print(parity_tables(exported.parity))
    say(out, f"Wrote {output}", style="green")
    for name, entry in exported.bundle.manifest.files.items():
        say(out, f"  {name:<22} {entry.bytes / 1e6:8.1f} MB  sha256 {entry.sha256[:16]}…")
    say(out, f'Try it: lam-export embed {quote(str(output))} "a first text" "and another"')
