"""``lam-export demo``: a checkpoint to try everything on."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from ._console import examples, out, say

EXAMPLES = examples("lam-export demo demo-checkpoint && lam-export onnx demo-checkpoint -o demo-bundle")


def run(
    folder: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace a demo checkpoint that is there.")] = False,
) -> None:
    """Write a small LAM checkpoint that was really trained: distilled from all-MiniLM-L6-v2."""
    from lam_export.pipelines.write_demo import write_demo

    path = write_demo(folder, force=force)
    say(out, f"Wrote {path}", style="green")
    say(out, f"Next: lam-export onnx {quote(str(path))} -o demo-bundle")
