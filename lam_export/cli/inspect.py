"""``lam-export inspect``: what a checkpoint holds."""

from json import dumps

import typer

from ._console import examples, out
from ._options import CheckpointArgument, Json, Teacher

EXAMPLES = examples("lam-export inspect my-checkpoint", "lam-export inspect student.safetensors --teacher DIR --json")


def run(
    checkpoint: CheckpointArgument,
    teacher: Teacher = None,
    json: Json = False,
) -> None:
    """Read a checkpoint, check every tensor, and show what it holds. Writes nothing."""
    from lam_export.pipelines.inspect_checkpoint import inspect_checkpoint

    found = inspect_checkpoint(checkpoint, teacher=teacher)
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))
        return

    from rich.markup import escape
    from rich.table import Table

    table = Table(title="LAM checkpoint", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    inside = "inside the checkpoint" if found.tensors_from_teacher else "not needed"
    rows = {
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
    for name, value in rows.items():
        table.add_row(name, escape(str(value)))
    for note in found.notes:
        table.add_row("[yellow]note[/]", escape(note))
    out.print(table)
