"""``lam-export onnx``: a checkpoint to a verified bundle."""

from shlex import quote
from typing import Annotated

import typer

from lam_engines.contract import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from lam_engines.errors import LamError

from ._console import examples, out, say
from ._options import CheckpointArgument, Force, Opset, OutputBundle, Teacher, Verbose, several
from ._parity import parity_tables, say_what_was_checked
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export onnx my-checkpoint -o my-model",
    "lam-export onnx student.safetensors --teacher all-MiniLM-L6-v2 -o my-model --inline",
    "lam-export onnx my-checkpoint -o my-model --precision fp16 --precision int8",
    "lam-export onnx my-checkpoint -o my-model --form recurrent --stream",
)
_OUTPUTS = (SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS)
"""Every graph has the first."""


def run(
    checkpoint: CheckpointArgument,
    output: OutputBundle,
    teacher: Teacher = None,
    form: Annotated[
        str, typer.Option(help="Form of the delta rule that the model was trained in: flat, recurrent or parallel.")
    ] = "flat",
    chunk_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65536,
            help="Tokens in a chunk, as the model was trained.",
            show_default="128; recurrent 32; parallel has no chunks",
        ),
    ] = None,
    opset: Opset = 20,
    output_names: Annotated[
        list[str] | None, several(f"Additional output: {TOKEN_EMBEDDINGS} (not in int8).", "--output")
    ] = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="Also write model.inlined.onnx, for runtimes without local functions.")
    ] = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Also write model.stream.onnx, for texts that come in pieces (embed_stream); with --form recurrent.",
        ),
    ] = False,
    precision: Annotated[
        list[str] | None,
        several(
            "Also write this precision: fp16 (model.fp16.onnx, for GPUs) or int8 (model.int8.onnx, for CPUs).",
            default="fp32 only",
        ),
    ] = None,
    keep_fp32: Annotated[
        list[str] | None,
        several("Part to keep in float32 in model.fp16.onnx, as validate --bisect names it: layers.3.ffn_in."),
    ] = None,
    force: Force = False,
    verbose: Verbose = False,
) -> None:
    """Export a checkpoint to a bundle of ONNX graphs. It is written only if it matches the PyTorch reference."""
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
        say(out, f"  {name:<22} {entry.bytes:>11,} bytes  sha256 {entry.sha256[:16]}…")
    say_what_was_checked(exported.parity, output, checkpoint, teacher)
    say(out, f'Try it: lam-export embed {quote(str(output))} "a first text" "and another"')
