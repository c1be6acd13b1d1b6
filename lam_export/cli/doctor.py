"""``lam-export doctor``: what can run here, and how to make the rest run."""

import platform
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from ._console import examples, out, say
from ._options import Json

EXAMPLES = examples("lam-export doctor", "lam-export doctor my-model", "lam-export doctor --json")


def run(
    bundle: Annotated[
        Path | None, typer.Argument(help="Also embed a text with this bundle on every engine.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show which engines and tools can run on this machine. For each that cannot, say why and how to fix it.

    Exits with 2 if no engine can run.
    """
    from lam_export.pipelines.examine_machine import engines, plans, tools

    found, others = engines(bundle), tools()
    built = [] if bundle is None else plans(bundle)
    if json:
        record = {"python": platform.python_version(), "platform": platform.platform()}
        parts = {name: [vars(finding) for finding in part] for name, part in (("engines", found), ("tools", others))}
        typer.echo(dumps({**record, **parts, "plans": built}, indent=2))
    else:
        say(out, f"Python {platform.python_version()} on {platform.platform()}")
        width = max(len(finding.what) for finding in (*found, *others))
        for finding in (*found, *others):
            mark, style = ("✓", "green") if finding.works else ("✗", "red")
            out.print(f"[{style}]{mark}[/]", end=" ")
            say(out, f"{finding.what:<{width}}  {finding.detail}")
        for plan in built:
            say(out, f"  {'plan':<{width}}  {plan}")
    if not any(finding.works for finding in found):
        raise typer.Exit(2)
