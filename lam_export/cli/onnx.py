"""``lam-export onnx``: a checkpoint to a verified bundle."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from lam_export.requirements import require_export

from ._console import examples, out, say, steps

EXAMPLES = examples(
    "lam-export onnx my-checkpoint -o my-model",
    "lam-export onnx student.safetensors --teacher all-MiniLM-L6-v2 -o my-model --inline",
    "lam-export onnx my-checkpoint -o my-model --precision fp16 --precision int8",
    "lam-export onnx my-checkpoint -o my-model --form recurrent --stream",
)


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
    from lam_engines import LamError
    from lam_engines.bundles.whole import check_place
    from lam_engines.bundles.writing import BUNDLE
    from lam_engines.contract import GRAPHS
    from lam_export.model.forms import CHUNK_SIZES, FORMS

    if form not in FORMS:
        raise LamError(f"expected --form {' or '.join(FORMS)}, found {form!r}")
    if CHUNK_SIZES[form] is None and chunk_size is not None:
        raise LamError(f"expected no --chunk-size with --form {form}, which has no chunks; leave it out")
    if stream and form != "recurrent":
        why = "streams with its graph as it is" if form == "flat" else "needs the whole text at once"
        raise LamError(f"expected --stream with --form recurrent, found it with {form}, which {why}; leave it out")
    precisions = set(precision or ())
    if unknown := sorted(precisions - set(GRAPHS)):
        raise LamError(f"expected --precision {', '.join(GRAPHS)}, found {', '.join(unknown)}")
    if keep_fp32 and "fp16" not in precisions:
        raise LamError("expected --precision fp16 with --keep-fp32, found it without; add it, or leave --keep-fp32 out")
    wanted = set(output_names or ())
    if not wanted <= {"token_embeddings", "sentence_embedding"}:
        raise LamError(f"expected --output token_embeddings, found {', '.join(sorted(wanted))}")
    check_place(output, BUNDLE, force)  # before the minutes of work, not after

    with steps() as step:
        step("reading the checkpoint")
        require_export()
        from lam_export.model.checkpoint import load_checkpoint
        from lam_export.pipelines.verified_export import export_verified_bundle

        bundle, report = export_verified_bundle(
            load_checkpoint(checkpoint, teacher),
            output,
            form=form,
            chunk_size=chunk_size,
            opset=opset,
            token_embeddings="token_embeddings" in wanted,
            inline=inline,
            stream=stream,
            precisions=precisions,
            keep_fp32=keep_fp32 or (),
            force=force,
            verbose=verbose,
            on_step=step,
        )

    from .validate import parity_tables

    out.print(parity_tables(report))
    say(out, f"Wrote {output}", style="green")
    for name, entry in bundle.manifest.files.items():
        say(out, f"  {name:<22} {entry.bytes / 1e6:8.1f} MB  sha256 {entry.sha256[:16]}…")
    say(out, f'Try it: lam-export embed {quote(str(output))} "a first text" "and another"')
