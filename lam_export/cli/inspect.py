"""``lam-export inspect``: what a checkpoint holds."""

from pathlib import Path
from typing import Annotated

import typer

from ._console import examples, out

EXAMPLES = examples("lam-export inspect my-checkpoint", "lam-export inspect student.safetensors --teacher DIR --json")


def run(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder, or its weights file.", show_default=False)],
    teacher: Annotated[Path | None, typer.Option(help="Its teacher, if it needs one.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a checkpoint, check every tensor, and say what was found. Nothing is written."""
    from lam_export.requirements import require

    require("torch", "safetensors", extra="export")
    from lam_export.model.checkpoint import load_checkpoint

    found = load_checkpoint(checkpoint, teacher)
    dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in found.tensors.values()})
    facts = {
        "weights": str(found.weights),
        "sha256": found.sha256,
        "layout": found.layout,
        "teacher": str(found.teacher) if found.teacher else None,
        "tokenizer": str(found.tokenizer) if found.tokenizer else None,
        "parameters": sum(t.numel() for t in found.tensors.values()),
        "dtypes": dtypes,
        "flux": "per head" if found.layer(0)["resonance_flux.W_bilinear"].ndim == 3 else "shared",
        "tensors_from_teacher": len(found.from_teacher),
        "tensors": len(found.tensors),
        "config": found.config.to_dict(),
        "notes": list(found.notes),
    }
    if json:
        from json import dumps

        typer.echo(dumps(facts, indent=2))
        return

    from rich.markup import escape
    from rich.table import Table

    table = Table(title="LAM checkpoint", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    inside = "inside the checkpoint" if found.from_teacher else "not needed"
    rows = {
        "weights": found.weights,
        "sha256": found.sha256,
        "layout": found.layout,
        "teacher": found.teacher or inside,
        "tokenizer": found.tokenizer or "none; name a teacher that has one: --teacher DIR",
        "parameters": f"{facts['parameters']:,} ({', '.join(dtypes)})",
        "tensors": f"{len(found.tensors)}, {len(found.from_teacher)} of them from the teacher",
        "resonance flux": facts["flux"],
        **found.config.to_dict(),
    }
    for name, value in rows.items():
        table.add_row(name, escape(str(value)))
    for note in found.notes:
        table.add_row("[yellow]note[/]", escape(note))
    out.print(table)
