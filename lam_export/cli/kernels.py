"""``lam-export kernels``: compile the GPU kernels for every target, and say what they cost."""

from typing import Annotated

import typer

from lam_engines.errors import LamError

from ._console import examples, out, steps

EXAMPLES = examples("lam-export kernels", "lam-export kernels --target sm_90 --target sm_80")


def run(
    target: Annotated[
        list[str] | None,
        typer.Option(help="Only for this GPU, for example sm_90; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Compile every variant of the fused delta rule, of the published model's sizes, for every GPU generation.

    Needs no GPU. Exits with 2 if a default variant spills registers to memory.
    """
    from lam_export.requirements import require

    require("triton", "torch", extra="kernels")
    from rich.table import Table

    from lam_plugins.aot import TARGETS, FusedDeltaRuleBuild, KernelBuildError, compile_kernel
    from lam_plugins.fused_delta_rule.kernel import DEFAULT_VARIANT, VARIANTS

    head = ("target", "variant", "registers", "spilled bytes", "shared bytes", "PTX")
    table = Table(*head, title="Fused delta rule, float16")
    spilled = False
    try:
        with steps() as step:
            for name in target or TARGETS:
                step(f"Compiling for {name}")
                for variant in VARIANTS:
                    build = FusedDeltaRuleBuild(name, 384, 32, 1600, 128, variant)
                    compiled = compile_kernel(build)
                    default = variant == DEFAULT_VARIANT
                    spilled |= default and compiled.spill_bytes > 0
                    mark = "red" if default and compiled.spill_bytes else "yellow" if compiled.spill_bytes else "green"
                    table.add_row(
                        name,
                        f"{variant} (default)" if default else variant,
                        str(compiled.registers),
                        f"[{mark}]{compiled.spill_bytes}[/]",
                        f"{compiled.shared_bytes:,}",
                        compiled.ptx_version,
                    )
    except KernelBuildError as error:
        raise LamError(str(error)) from error
    out.print(table)
    if spilled:
        raise typer.Exit(2)
