"""``lam-export memory``: one layer of a checkpoint to the bundle of a memory."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from lam_export.requirements import require_export

from ._console import examples, out, say, steps

EXAMPLES = examples(
    "lam-export memory my-checkpoint -o my-memory",
    "lam-export memory student.safetensors --teacher all-MiniLM-L6-v2 -o my-memory --layer 3",
    "lam-export triton my-memory -o repository",
)


def run(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder, or its weights file.", show_default=False)],
    output: Annotated[Path, typer.Option("--output-bundle", "-o", help="The bundle to write.", show_default=False)],
    teacher: Annotated[
        Path | None,
        typer.Option(help="BERT that gives what the checkpoint does not hold (folder).", show_default=False),
    ] = None,
    layer: Annotated[int | None, typer.Option(min=0, help="Whose weights, from 0.", show_default="the last")] = None,
    opset: Annotated[int, typer.Option(min=18, max=23, help="ONNX opset.")] = 20,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the exporter's messages.")] = False,
) -> None:
    """Export the memory step: a model that stores vectors one by one, recalls, and keeps its state in a file.

    The graph is compared with the float64 reference over 300 stores before the bundle is put in its place.
    """
    from lam_engines.bundles.whole import check_place
    from lam_engines.bundles.writing import BUNDLE
    from lam_engines.contract import MEMORY_MODEL

    check_place(output, BUNDLE, force)
    with steps() as step:
        step("reading the checkpoint")
        require_export()
        from lam_export.model.checkpoint import load_checkpoint
        from lam_export.pipelines.verified_memory import export_verified_memory

        bundle = export_verified_memory(
            load_checkpoint(checkpoint, teacher),
            output,
            layer=layer,
            opset=opset,
            force=force,
            verbose=verbose,
            on_step=step,
        )
    manifest = bundle.manifest
    worst, entry = manifest.parity[MEMORY_MODEL], manifest.files[MEMORY_MODEL]
    say(out, f"{MEMORY_MODEL} equals the reference: max-abs {worst['max_abs']:.1e}, cosine {worst['cosine']:.7f}")
    say(out, f"Wrote {output}", style="green")
    say(out, f"  layer {manifest.memory_layer}, {entry.bytes / 1e6:.1f} MB  sha256 {entry.sha256[:16]}…")
    say(
        out,
        "Use it: from lam_engines.memories.engine import MemoryEngine; memory = MemoryEngine("
        + repr(str(output))
        + ")",
    )
    say(out, f"Serve it: lam-export triton {quote(str(output))} -o repository")
