"""Kernels compiled ahead of time, for named GPUs, on machines that need not have one."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

TARGETS = {"sm_80": 80, "sm_86": 80, "sm_89": 80, "sm_90": 80, "sm_100": 86, "sm_120": 87}
"""Target to PTX version (80 is 8.0): pinned to the lowest that knows the GPU, for a driver refuses what is newer than
itself. 8.0 needs a driver of CUDA 12.0; 8.6 and 8.7 one of 12.7 and 12.8, the first for these GPUs anyway."""


class KernelBuildError(Exception):
    """A kernel that cannot be compiled here; one line."""


@dataclass(frozen=True)
class FusedDeltaRuleBuild:
    """One build of the fused delta rule: everything but the batch is compiled in."""

    target: str
    """A name in :data:`TARGETS`. From sm_90 on a build runs on that GPU generation alone."""
    hidden: int
    head_size: int
    width: int
    chunk_size: int
    variant: str
    dtype: Literal["fp16", "fp32"] = "fp16"


@dataclass(frozen=True)
class DualStateDeltaRuleBuild:
    """One build of one of the dual-state delta rule's kernels, with the published options."""

    target: str
    hidden: int
    head_size: int
    width: int
    chunk_size: int
    step: Literal["chunks", "states", "heads"]
    dtype: Literal["fp16", "fp32"] = "fp16"


Build = FusedDeltaRuleBuild | DualStateDeltaRuleBuild


@dataclass(frozen=True)
class CompiledKernel:
    """A kernel in PTX with what its launch needs and what it costs.

    Its parameters are those of the kernel's source that are no ``constexpr``, in their order, and no others.
    """

    name: str
    ptx: str
    ptx_version: str
    threads: int
    shared_bytes: int
    """Dynamic shared memory of a launch."""
    registers: int
    """Of a thread."""
    spill_bytes: int
    """Stored to and loaded from local memory, of a thread."""
    constants: dict[str, Any]


def compile_kernel(build: Build, cache: Path | None) -> CompiledKernel:
    """Compile, or take from the cache what was compiled from the same source, options and Triton before.

    Args:
        build: what to compile, and for which GPU.
        cache: a folder for what was compiled, in its subfolder ``kernels``; None: compile, and keep nothing.

    Raises:
        KernelBuildError: Triton is missing, the target unknown, or compilation failed.
    """
    if build.target not in TARGETS:
        raise KernelBuildError(f"no target {build.target!r}; expected one of {', '.join(TARGETS)}")
    kept = None if cache is None else cache / "kernels" / f"{_key(build)}.json"
    if kept is not None:
        with suppress(OSError, ValueError, TypeError):  # absent, or not whole
            return CompiledKernel(**json.loads(kept.read_text(encoding="utf-8")))
    # In a process of its own: LLVM aborts the whole process on a PTX version that it does not know.
    command = [
        sys.executable,
        "-m",
        f"{__name__}.worker",
        json.dumps({**asdict(build), "ptx": TARGETS[build.target]}),
        type(build).__name__,
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("TRITON_INTERPRET", None)
    result = subprocess.run(command, capture_output=True, text=True, env=environment)  # noqa: S603
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"the compiler ended with {result.returncode}"])[-1]
        raise KernelBuildError(f"the kernel did not compile for {build.target}: {last}")
    compiled = CompiledKernel(**json.loads(result.stdout))
    if kept is not None:
        _write(kept, json.dumps(asdict(compiled)))
    return compiled


def triton_version() -> str:
    """Raises KernelBuildError if Triton is not installed."""
    try:
        return version("triton")
    except PackageNotFoundError:
        raise KernelBuildError("triton is not installed here; run: pip install 'lam-export[kernels]'") from None


def _key(build: Build) -> str:
    here = Path(__file__).parent
    sources = (
        *sorted(here.glob("*.py")),
        *sorted(here.parent.glob("*/kernel.py")),
        *sorted(here.parent.glob("*/launch.py")),
    )
    digest = hashlib.sha256(json.dumps([asdict(build), TARGETS[build.target], triton_version()]).encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _write(path: Path, content: str) -> None:
    """Whole or not at all; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(content)
        Path(file.name).replace(path)
    except OSError:
        pass
