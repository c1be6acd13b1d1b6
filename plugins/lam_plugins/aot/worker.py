"""``python -m lam_plugins.aot.worker BUILD KIND``: print a compiled kernel as JSON. ``compile_kernel`` runs this."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability
from triton.compiler import ASTSource

from lam_plugins.dual_state_delta_rule import Options
from lam_plugins.dual_state_delta_rule import launch as dual_state
from lam_plugins.dual_state_delta_rule.kernel import STEPS
from lam_plugins.fused_delta_rule import kernel as fused

from . import Build, CompiledKernel, DualStateDeltaRuleBuild, FusedDeltaRuleBuild
from .ptx import resources, strip_scratch


def compile_here(build: Build, ptx_version: int) -> CompiledKernel:
    """Compile in this process. Triton's exceptions pass through. An unknown PTX version ends the process."""
    capability = int(build.target.removeprefix("sm_"))
    kernel, constants, signature, options = _source(build)
    # TensorRT aligns tensors to more than the 16 bytes that the widest load takes.
    attributes = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind.startswith("*")}
    compiled = triton.compile(
        ASTSource(kernel, signature, constants, attributes),
        target=GPUTarget("cuda", capability, 32),
        options={**options, "ptx_version": ptx_version},
    )
    metadata = compiled.metadata
    if metadata.global_scratch_size or metadata.profile_scratch_size:
        raise ValueError("the kernel needs scratch memory, which TensorRT would not give it")
    parameters = sum(kind != "constexpr" for kind in signature.values())
    ptx = strip_scratch(compiled.asm["ptx"], metadata.name, parameters)
    registers, spill_bytes = resources(_assemble(ptx, capability))
    return CompiledKernel(
        name=metadata.name,
        ptx=ptx,
        ptx_version=f"{ptx_version // 10}.{ptx_version % 10}",
        threads=32 * metadata.num_warps,
        shared_bytes=metadata.shared,
        registers=registers,
        spill_bytes=spill_bytes,
        constants=constants,
    )


def _source(build: Build) -> tuple[Any, dict[str, Any], dict[str, str], dict[str, Any]]:
    """The kernel, its compile-time arguments, its signature and the compiler's options."""
    sizes = (build.hidden, build.head_size, build.width, build.chunk_size)
    if isinstance(build, DualStateDeltaRuleBuild):
        constants = dual_state.constants(build.step, *sizes, Options(), shared_flux=False)
        signature = dual_state.signature(build.step, build.dtype)
        return STEPS[build.step], constants, signature, dual_state.compile_options()
    variant = fused.VARIANTS[build.variant]
    constants = fused.constants(*sizes, variant)
    return fused.fused_delta_rule_kernel, constants, fused.signature(build.dtype), fused.options(variant)


def _assemble(ptx: str, capability: int) -> str:
    """Assemble as a driver does, with no options, and return the assembler's report."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx, encoding="utf-8")
        tool, architecture = get_ptxas(capability).path, sm_arch_from_capability(capability)
        command = [tool, "-v", f"-arch={architecture}", str(source), "-o", str(source.with_suffix(".cubin"))]
        result = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if result.returncode:
        raise ValueError(f"ptxas refuses the kernel: {result.stderr.strip()}")
    return result.stdout + result.stderr


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    pinned = request.pop("ptx")
    kind = next(kind for kind in (FusedDeltaRuleBuild, DualStateDeltaRuleBuild) if kind.__name__ == sys.argv[2])
    json.dump(asdict(compile_here(kind(**request), pinned)), sys.stdout)
