"""``lam-export memory``: one layer of a checkpoint to a memory's bundle."""

from shlex import quote
from typing import Annotated

import typer

from lam_engines.contract import MEMORY_MODEL

from ._console import examples, out, say
from ._options import CheckpointArgument, Force, Opset, OutputBundle, Teacher, Verbose
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export memory my-checkpoint -o my-memory",
    "lam-export memory student.safetensors --teacher all-MiniLM-L6-v2 -o my-memory --layer 3",
    "lam-export triton my-memory -o repository",
)


def run(
    checkpoint: CheckpointArgument,
    output: OutputBundle,
    teacher: Teacher = None,
    layer: Annotated[
        int | None, typer.Option(min=0, help="Layer whose weights to use, from 0.", show_default="the last")
    ] = None,
    opset: Opset = 20,
    force: Force = False,
    verbose: Verbose = False,
) -> None:
    """Export one layer as a memory: a model that stores vectors one by one and recalls them.

    The graph is compared with the float64 reference over 300 stores. The bundle is written only if they match.
    """
    from lam_export.pipelines.export_memory import export_memory

    with shown_progress() as progress:
        bundle = export_memory(
            checkpoint,
            output,
            teacher=teacher,
            layer=layer,
            opset=opset,
            force=force,
            verbose=verbose,
            progress=progress,
        )
    manifest = bundle.manifest
    worst, entry = manifest.parity[MEMORY_MODEL], manifest.files[MEMORY_MODEL]
    say(out, f"{MEMORY_MODEL} equals the reference: max-abs {worst['max_abs']:.1e}, cosine {worst['cosine']:.7f}")
    say(out, f"Wrote {output}", style="green")
    say(out, f"  layer {manifest.memory_layer}, {entry.bytes / 1e6:.1f} MB  sha256 {entry.sha256[:16]}…")
    use = f"from lam_engines.memories.engine import MemoryEngine; memory = MemoryEngine({str(output)!r})"
    say(out, f"Use it: {use}")
    say(out, f"Serve it: lam-export triton {quote(str(output))} -o repository")
