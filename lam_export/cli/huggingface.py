"""``lam-export huggingface``: a folder that other people's tools load."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from ._console import examples, out, say
from ._options import BundleArgument, Force
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export huggingface my-model -o my-folder",
    "lam-export huggingface my-model -o my-folder --int8 --openvino",
    "hf upload me/my-model my-folder",
)


def run(
    bundle: BundleArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)],
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write the int8 graph, which the bundle must have.")
    ] = False,
    openvino: Annotated[bool, typer.Option("--openvino", help="Also write OpenVINO's files.")] = False,
    force: Force = False,
) -> None:
    """Write a folder that sentence-transformers, fastembed, transformers.js, txtai and other tools load.

    It holds the graphs, the tokenizer, small files that the tools read, and a model card. It is written only if its
    embeddings are the bundle's. PyTorch is not needed.
    """
    from lam_export.pipelines.export_huggingface import export_huggingface

    with shown_progress() as progress:
        written = export_huggingface(bundle, output, int8=int8, openvino=openvino, force=force, progress=progress)
    for name, worst in written.parity.items():
        say(out, f"{name} equals the bundle: max-abs {worst.max_abs:.1e}, cosine {worst.cosine:.7f}")
    say(out, f"Wrote {output}", style="green")
    say(out, f"Use it: see {Path(output, 'README.md')}")
    say(out, f"Publish it: hf upload NAME/{written.path.name} {quote(str(output))}")
