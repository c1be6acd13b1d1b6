"""``lam-export kernels``: compile the GPU kernels for every GPU, and report what they cost."""

from typing import Annotated

import typer

from ._console import examples, out
from ._options import several
from ._progress import shown_progress

EXAMPLES = examples("lam-export kernels", "lam-export kernels --target sm_90 --target sm_80")


def run(
    target: Annotated[list[str] | None, several("GPU to compile for, such as sm_90.", default="all supported")] = None,
) -> None:
    """Compile every variant of the fused delta rule, in the published model's sizes, and report what it costs.

    Needs no GPU. Exits with 2 if a default variant spills registers to memory.
    """
    from rich.table import Table

    from lam_export.pipelines.compile_kernels import compile_kernels

    with shown_progress() as progress:
        costs = compile_kernels(target or (), progress=progress)
    head = ("target", "variant", "registers", "spilled bytes", "shared bytes", "PTX")
    table = Table(*head, title="Fused delta rule, float16")
    for cost in costs:
        mark = "red" if cost.is_fault else "yellow" if cost.spill_bytes else "green"
        table.add_row(
            cost.target,
            f"{cost.variant} (default)" if cost.default else cost.variant,
            str(cost.registers),
            f"[{mark}]{cost.spill_bytes}[/]",
            f"{cost.shared_bytes:,}",
            cost.ptx_version,
        )
    out.print(table)
    if any(cost.is_fault for cost in costs):
        raise typer.Exit(2)
