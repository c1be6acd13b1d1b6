"""Printing of a record that a command has written."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ._console import out, say

if TYPE_CHECKING:
    from lam_export.evidence.record import Shown


def print_record(shown: "Shown", folder: Path, files: str, *, json: bool) -> None:
    """Print a record, or its JSON, and the ``files`` that were written. Exit with 2 if its verdict is bad."""
    from lam_export.evidence.record import terminal, to_json

    if json:
        typer.echo(to_json(shown.record), nl=False)
    else:
        out.print(terminal(shown))
        say(out, f"Wrote {folder}/{files}", style="green")
    if not shown.passed:
        raise typer.Exit(2)
