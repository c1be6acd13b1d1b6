"""Compiles kernels ahead of time for named GPUs. The compiling machine needs no GPU."""

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
"""The PTX version of each target (80 is 8.0). It is the lowest that supports the GPU: a driver refuses newer PTX.
8.0 needs the driver of CUDA 12.0. 8.6 and 8.7 need those of 12.7 and 12.8, the first that support these GPUs."""


class KernelBuildError(Exception):
    """A kernel cannot be compiled here. The message is one line."""


@dataclass(frozen=True)
class FusedDeltaRuleBuild:
    """One build of the fused delta rule. All sizes but batch and tokens are compiled in."""

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
    """A kernel in PTX, the data for its launch, and its costs.

    Its parameters are those of the kernel's source, in order, without the ``constexpr`` ones.
    """

    name: str
    ptx: str
    ptx_version: str
    threads: int
    shared_bytes: int
    """Dynamic shared memory of a launch."""
    registers: int
    """Registers per thread."""
    spill_bytes: int
    """Bytes per thread that are stored to and loaded from local memory."""
    constants: dict[str, Any]


def compile_kernel(build: Build, cache: Path | None) -> CompiledKernel:
    """Compile a kernel, or take it from the cache if source, options and Triton version are the same.

    Args:
        build: what to compile, and for which GPU.
        cache: folder of the cache, which uses its subfolder ``kernels``; None: no cache.

    Raises:
        KernelBuildError: Triton is missing, the target is unknown, or compilation failed.
    """
    if build.target not in TARGETS:
        raise KernelBuildError(f"expected a target of {', '.join(TARGETS)}, found {build.target!r}")
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
    if cache is not None:
        environment.setdefault("TRITON_CACHE_DIR", str(cache / "triton"))  # else ~, which a user may not have
    result = subprocess.run(command, capture_output=True, text=True, env=environment)  # noqa: S603
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"the compiler ended with {result.returncode}"])[-1]
        raise KernelBuildError(f"the kernel did not compile for {build.target}: {last}")
    compiled = CompiledKernel(**json.loads(result.stdout))
    if kept is not None:
        _write(kept, json.dumps(asdict(compiled)))
    return compiled


def triton_version() -> str:
    """The installed version of Triton.

    Raises:
        KernelBuildError: Triton is not installed.
    """
    try:
        return version("triton")
    except PackageNotFoundError:
        raise KernelBuildError("triton is not installed here; run: pip install 'triton>=3.6' torch") from None


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
    """Write a file whole or not at all. A cache that cannot be written is not an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(content)
        Path(file.name).replace(path)
    except OSError:
        pass
