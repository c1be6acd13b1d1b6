"""The TensorRT plugin: ``kernel.py``, compiled ahead of time and baked into the engine that TensorRT builds.

Such an engine runs without Python and without a shared library. README.md describes the exchange with TensorRT.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from lam_plugins.aot import (
    TARGETS,
    CompiledKernel,
    FusedDeltaRuleBuild,
    KernelBuildError,
    compile_kernel,
    triton_version,
)

from . import PLUGIN_NAMESPACE, op_type

INPUTS = ("projected", "lengths", "conv_weight", "conv_bias", "norm_weight", "blend")
SCALARS = ("tokens",)
OUTPUTS = ("heads",)
"""TensorRT passes a kernel pointers to its inputs, then int32 scalars, then pointers to its outputs."""

DATA_TYPES: dict[str, Literal["fp16", "fp32"]] = {"HALF": "fp16", "FLOAT": "fp32"}
"""The compiler's name for each supported member of ``tensorrt.DataType``."""

MAX_SHARED_BYTES = 48 * 1024
"""Dynamic shared memory that the driver grants by default. TensorRT is not documented to request more."""

_registered: dict[int, tuple[str, Path | None]] = {}
"""For each registered plugin, by chunk size: the GPU that it is compiled for, and the folder of compiled kernels."""


class PluginError(Exception):
    """A plugin cannot be registered here. The message is one line."""


def plugin_name(chunk_size: int) -> str:
    """Namespace and name, as ``tensorrt.plugin`` takes them; the name is the ONNX node's op type."""
    return f"{PLUGIN_NAMESPACE}::{op_type(chunk_size)}"


def plugin_fault(version: str) -> str | None:
    """Why this version of TensorRT cannot take the plugin, in one line; None if it can.

    Args:
        version: ``tensorrt.__version__``, like 10.13.3.9.
    """
    numbers = re.match(r"(\d+)\.(\d+)", version)
    known = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if known >= (10, 9) and known != (10, 14):
        return None
    return f"the plugin needs TensorRT 10.9 or newer, and not 10.14; found {version}"


def register_plugin(chunk_size: int, target: str, cache: Path | None) -> None:
    """Make TensorRT's ONNX parser use the plugin for fused nodes with this chunk size.

    The plugin is registered once per process. Later calls change target and cache of the engines built afterwards.

    Args:
        chunk_size: C of the model, from its config.
        target: the GPU that the engine is built on, one of :data:`lam_plugins.aot.TARGETS`.
        cache: as for :func:`lam_plugins.aot.compile_kernel`.

    Raises:
        PluginError: TensorRT or Triton is missing, TensorRT's version has no such plugins, or the kernel does not have
            this chunk size or target.
    """
    if target not in TARGETS:
        raise PluginError(f"the plugin's kernel has no target {target!r}; expected one of {', '.join(TARGETS)}")
    try:
        triton_version()
    except KernelBuildError as error:
        raise PluginError(str(error)) from error
    from . import kernel

    if chunk_size not in kernel.CHUNK_SIZES:
        raise PluginError(f"the plugin's kernel has chunk sizes 16, 32, .. 128; found {chunk_size}")
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # OSError: the library inside the package does not load
        reason = " ".join(str(error).split())
        raise PluginError(f"TensorRT cannot be imported ({reason}); run: pip install tensorrt triton") from error
    if fault := plugin_fault(tensorrt.__version__):
        raise PluginError(f"{fault}; run: pip install tensorrt triton")
    if chunk_size not in _registered:
        _define(chunk_size)
    _registered[chunk_size] = target, cache


def tactics(
    target: str,
    chunk_size: int,
    data_type: str,
    projected: Sequence[int],
    conv_bias: Sequence[int],
    norm_weight: Sequence[int],
) -> dict[int, FusedDeltaRuleBuild]:
    """The builds that can compute one node, by tactic. A tactic is a variant's place in the kernel's table, from 1.

    In float16, these are all variants. Variants that are equal in this chunk size appear once. In float32, it is only
    the default, because larger blocks overfill the registers by far.

    Args:
        target: the GPU.
        chunk_size: C.
        data_type: of ``projected``: a name of ``tensorrt.DataType``, one of :data:`DATA_TYPES`.
        projected, conv_bias, norm_weight: their shapes; a dynamic dimension is -1, as B and L are.

    Raises:
        ValueError: the type or the sizes are not supported, or a dimension other than B and L is dynamic.
    """
    import torch

    from . import kernel

    sizes = width, channels, head_size = projected[2], conv_bias[0], norm_weight[0]
    if data_type not in DATA_TYPES or min(sizes) < 1:
        raise ValueError(f"expected HALF or FLOAT, and static W, 3M and D; found {data_type}, and {sizes}")
    dtype = DATA_TYPES[data_type]
    known = kernel.HEAD_SIZES if dtype == "fp16" else kernel.HEAD_SIZES[:-1]  # 64 would need 61 KiB of shared memory
    if head_size not in known:
        raise ValueError(
            f"the plugin's kernel has head sizes {', '.join(map(str, known))} in {dtype}; found {head_size}"
        )
    offered = set(kernel.VARIANTS) if dtype == "fp16" else {kernel.default_variant(torch.float32, head_size)}
    found: dict[tuple[int, int], tuple[int, FusedDeltaRuleBuild]] = {}
    for tactic, (name, variant) in enumerate(kernel.VARIANTS.items(), 1):
        if name in offered:
            build = FusedDeltaRuleBuild(target, channels // 3, head_size, width, chunk_size, name, dtype)
            block = kernel.constants(build.hidden, head_size, width, chunk_size, variant)["BLOCK"]
            found.setdefault((block, variant.warps), (tactic, build))
    return dict(found.values())


def compiled_tactics(builds: Mapping[int, FusedDeltaRuleBuild], cache: Path | None) -> dict[int, CompiledKernel]:
    """Compile builds, and return those that TensorRT can launch.

    ``cache`` is as for :func:`lam_plugins.aot.compile_kernel`.

    Raises:
        KernelBuildError: a build does not compile, or none can be launched.
    """
    compiled = {tactic: compile_kernel(build, cache) for tactic, build in builds.items()}
    launchable = {tactic: kernel for tactic, kernel in compiled.items() if kernel.shared_bytes <= MAX_SHARED_BYTES}
    if not launchable:
        raise KernelBuildError(f"every variant needs more than {MAX_SHARED_BYTES:,} bytes of shared memory")
    return launchable


def io_types(data_type: str) -> str:
    """The types of inputs and outputs, as ``AutoTuneCombination`` takes them: ``FP16,INT32,..``.

    There is only one combination, the graph's, because networks are strongly typed.
    """
    from . import kernel

    kinds = kernel.signature(DATA_TYPES[data_type])
    return ",".join(kinds[name].removeprefix("*").upper().replace("I32", "INT32") for name in (*INPUTS, *OUTPUTS))


def _define(chunk_size: int) -> None:
    """Register the functions that TensorRT calls during a build. It reads their parameter names and annotations."""
    import tensorrt.plugin as trtp

    from . import kernel

    name = plugin_name(chunk_size)

    @trtp.register(name)
    def describe(
        projected: trtp.TensorDesc,
        lengths: trtp.TensorDesc,
        conv_weight: trtp.TensorDesc,
        conv_bias: trtp.TensorDesc,
        norm_weight: trtp.TensorDesc,
        blend: trtp.TensorDesc,
    ) -> trtp.TensorDesc:
        batch, tokens, _ = projected.shape_expr
        return trtp.from_shape_expr((batch, tokens, conv_bias.shape_expr[0] // 3), projected.dtype)

    def builds(
        projected: trtp.TensorDesc, conv_bias: trtp.TensorDesc, norm_weight: trtp.TensorDesc
    ) -> dict[int, FusedDeltaRuleBuild]:
        shapes = projected.shape, conv_bias.shape, norm_weight.shape
        target, _ = _registered[chunk_size]
        return tactics(target, chunk_size, projected.dtype.name, *shapes)

    @trtp.autotune(name)
    def offer(
        projected: trtp.TensorDesc,
        lengths: trtp.TensorDesc,
        conv_weight: trtp.TensorDesc,
        conv_bias: trtp.TensorDesc,
        norm_weight: trtp.TensorDesc,
        blend: trtp.TensorDesc,
        outputs: tuple[trtp.TensorDesc],
    ) -> list[trtp.AutoTuneCombination]:
        _, cache = _registered[chunk_size]
        offered = compiled_tactics(builds(projected, conv_bias, norm_weight), cache)
        return [trtp.AutoTuneCombination(io_types(projected.dtype.name), "LINEAR", list(offered))]

    @trtp.aot_impl(name)
    def implement(
        projected: trtp.TensorDesc,
        lengths: trtp.TensorDesc,
        conv_weight: trtp.TensorDesc,
        conv_bias: trtp.TensorDesc,
        norm_weight: trtp.TensorDesc,
        blend: trtp.TensorDesc,
        outputs: tuple[trtp.TensorDesc],
        tactic: int,
    ) -> tuple[str, str, trtp.KernelLaunchParams, trtp.SymIntExprs]:
        _, cache = _registered[chunk_size]
        compiled = compile_kernel(builds(projected, conv_bias, norm_weight)[tactic], cache)
        batch, tokens, _ = projected.shape_expr
        launch = trtp.KernelLaunchParams()
        launch.grid_x, launch.grid_y = kernel.launch_grid(batch, tokens, compiled.constants["HEADS"], chunk_size)
        launch.block_x, launch.shared_mem = compiled.threads, compiled.shared_bytes
        scalars = trtp.SymIntExprs(len(SCALARS))
        scalars[0] = trtp.SymInt32(tokens)
        return compiled.name, compiled.ptx, launch, scalars
