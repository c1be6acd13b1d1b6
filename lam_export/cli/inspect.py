"""``lam-export inspect``: what a checkpoint or a bundle holds."""

from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._console import examples, out
from ._options import Json, Teacher
from ._options import place as to_place

if TYPE_CHECKING:
    from lam_export.pipelines.inspect_bundle import BundleFacts
    from lam_export.pipelines.inspect_checkpoint import CheckpointFacts

EXAMPLES = examples(
    "lam-export inspect my-checkpoint",
    "lam-export inspect student.safetensors --teacher DIR --json",
    "lam-export inspect my-model",
)


def run(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT|BUNDLE",
            help="The checkpoint's folder or weights file, or the bundle's folder or URI.",
            show_default=False,
            parser=to_place,
        ),
    ],
    teacher: Teacher = None,
    json: Json = False,
) -> None:
    """Show what a checkpoint or a bundle holds. Every tensor, or every file's hash, is checked. Writes nothing.

    Of a bundle: form, precisions, parity figures, hashes, plans, and which engines would run it here.
    """
    from lam_export.pipelines.inspect import BundleFacts, inspect

    found = inspect(place, teacher=teacher)
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))
    elif isinstance(found, BundleFacts):
        _show("LAM bundle", _rows_of_bundle(found), ())
    else:
        _show("LAM checkpoint", _rows_of_checkpoint(found), found.notes)


def _rows_of_checkpoint(found: "CheckpointFacts") -> Mapping[str, object]:
    inside = "inside the checkpoint" if found.tensors_from_teacher else "not needed"
    return {
        "weights": found.weights,
        "sha256": found.sha256,
        "layout": found.layout,
        "teacher": found.teacher or inside,
        "tokenizer": found.tokenizer or "none; name a teacher that has one: --teacher DIR",
        "parameters": f"{found.parameters:,} ({', '.join(found.dtypes)})",
        "tensors": f"{found.tensors}, {found.tensors_from_teacher} of them from the teacher",
        "resonance flux": found.flux,
        **found.config,
    }


def _rows_of_bundle(found: "BundleFacts") -> Mapping[str, object]:
    rows: dict[str, object] = {"bundle": found.path, "of": f"{found.kind}, form {found.form}"}
    if found.chunk_size is not None:
        rows["chunk size"] = found.chunk_size
    rows |= {"checkpoint": found.checkpoint, "manifest sha256": found.manifest_sha256}
    for name, entry in found.files.items():
        rows[name] = f"{entry['bytes']:,} bytes, sha256 {entry['sha256']}"
    for name, graph in found.graphs.items():
        figures = ", ".join(f"{figure} {value:.3g}" for figure, value in graph["parity"].items())
        rows[f"{name}: parity"] = f"{graph['precision']}, opset {graph['opset']}; {figures or 'none'}"
    rows |= {f"{name}: plan": text for name, text in found.plans.items()}
    rows |= {"tested to": f"{found.max_tokens_tested:,} tokens", **found.model}
    rows["made with"] = ", ".join(f"{tool} {version}" for tool, version in found.tools.items())
    return rows | {f"runs here: {engine}": text for engine, text in found.runs_here.items()}


def _show(title: str, rows: Mapping[str, object], notes: Sequence[str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(escape(name), escape(str(value)))
    for note in notes:
        table.add_row("[yellow]note[/]", escape(note))
    out.print(table)
