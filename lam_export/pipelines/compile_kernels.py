"""``lam-export kernels``: compile the fused delta rule's GPU kernels, and report what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from lam_engines.errors import LamError
from lam_engines.machine import cache_folder
from lam_engines.progress import Progress
from lam_export.requirements import require

_HIDDEN, _HEAD_SIZE, _WIDTH, _CHUNK_SIZE = 384, 32, 1600, 128
"""Sizes of the published model."""


@dataclass(frozen=True)
class KernelCost:
    """The GPU resources that a compiled kernel uses."""

    target: str
    """The GPU, such as ``sm_90``."""
    variant: str
    default: bool
    """Whether this is the variant that is used unless another is chosen."""
    registers: int
    spill_bytes: int
    """Bytes per thread that do not fit into registers and go to memory instead."""
    shared_bytes: int
    ptx_version: str

    @property
    def is_fault(self) -> bool:
        """Whether a default variant spills registers, which it must not."""
        return self.default and self.spill_bytes > 0


def compile_kernels(targets: Sequence[str] = (), *, progress: Progress = Progress()) -> tuple[KernelCost, ...]:
    """Compile every variant of the fused delta rule, of the published model's sizes in float16. Needs no GPU.

    Args:
        targets: GPUs such as ``sm_90``; if left out, all supported ones.
        progress: told of each target.

    Raises:
        LamError: a package is missing, a target is unknown, or a kernel cannot be compiled.
    """
    require("triton", "torch", extra="kernels")
    from lam_plugins.aot import TARGETS, FusedDeltaRuleBuild, KernelBuildError, compile_kernel
    from lam_plugins.fused_delta_rule.kernel import DEFAULT_VARIANT, VARIANTS

    costs: list[KernelCost] = []
    try:
        for target in targets or TARGETS:
            progress.begin(f"compiling for {target}", len(VARIANTS))
            for variant in VARIANTS:
                build = FusedDeltaRuleBuild(target, _HIDDEN, _HEAD_SIZE, _WIDTH, _CHUNK_SIZE, variant)
                found = compile_kernel(build, cache_folder())
                costs.append(
                    KernelCost(
                        target,
                        variant,
                        variant == DEFAULT_VARIANT,
                        found.registers,
                        found.spill_bytes,
                        found.shared_bytes,
                        found.ptx_version,
                    )
                )
                progress.advance(1)
    except KernelBuildError as error:
        raise LamError(str(error)) from error
    return tuple(costs)
