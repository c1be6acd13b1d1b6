"""``lam-export demo``: a checkpoint for trying things out."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from ._console import examples, out, say
from ._options import Force

EXAMPLES = examples("lam-export demo demo-checkpoint && lam-export onnx demo-checkpoint -o demo-bundle")


def run(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)],
    force: Force = False,
) -> None:
    """Write a small, trained LAM checkpoint for trying things out. It was distilled from all-MiniLM-L6-v2."""
    from lam_export.pipelines.write_demo import write_demo

    path = write_demo(folder, force=force)
    say(out, f"Wrote {path}", style="green")
    say(out, f"Next: lam-export onnx {quote(str(path))} -o demo-bundle")
