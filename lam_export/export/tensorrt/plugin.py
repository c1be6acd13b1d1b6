"""Prepares the fused operator's plugin before a build.

TensorRT calls the plugin from where exceptions only reach the log. So this module checks everything and compiles the
kernels before the build. The callbacks then find the kernels in the cache.
"""

from collections.abc import Sequence

import onnx

from lam_engines.bundles.manifest import OptimizationProfile
from lam_engines.machine import cache_folder
from lam_plugins.aot import FusedDeltaRuleBuild, KernelBuildError
from lam_plugins.fused_delta_rule import OP_DOMAIN
from lam_plugins.fused_delta_rule.tensorrt import compiled_tactics, tactics

from . import PlanError

_DATA_TYPES = {onnx.TensorProto.FLOAT16: "HALF", onnx.TensorProto.FLOAT: "FLOAT"}


def ready_plugin(
    model: onnx.ModelProto, chunk_size: int, profiles: Sequence[OptimizationProfile], target: str
) -> dict[int, FusedDeltaRuleBuild]:
    """Compile the kernels of a graph's fused nodes. The process that builds the plan finds them in the cache.

    Args:
        model: the graph from ``load_graph``. All its fused nodes have one size.
        chunk_size: tokens in a chunk, from the bundle's manifest.
        profiles: shapes that the plan must take.
        target: the GPU, such as sm_90.

    Returns:
        The build of each tactic.

    Raises:
        PlanError: the kernel does not support this graph or these profiles, or Triton is missing.
    """
    try:
        builds = plugin_builds(model, chunk_size, profiles, target)
        offered = compiled_tactics(builds, cache_folder())
    except KernelBuildError as error:
        raise PlanError(f"{error}; or build without it: --no-plugin") from error
    return {tactic: builds[tactic] for tactic in offered}


def plugin_builds(
    model: onnx.ModelProto, chunk_size: int, profiles: Sequence[OptimizationProfile], target: str
) -> dict[int, FusedDeltaRuleBuild]:
    """The builds that TensorRT may choose from for each fused node, by tactic. Nothing is compiled.

    The arguments are those of :func:`ready_plugin`.

    Raises:
        PlanError: the kernel does not support the graph's sizes or the profiles' batches.
    """
    from lam_plugins.fused_delta_rule.kernel import MAX_BATCH

    if (largest := max(profile.batch.max for profile in profiles)) > MAX_BATCH:
        raise PlanError(
            f"expected profiles of at most {MAX_BATCH:,} texts for the plugin, found one of {largest:,}; see --profile"
        )
    kinds = {value.name: value.type.tensor_type for value in model.graph.value_info}
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.domain == OP_DOMAIN)
    projected, _, _, conv_bias, norm_weight, _ = node.input
    width = kinds[projected].shape.dim[-1].dim_value
    data_type = _DATA_TYPES[kinds[projected].elem_type]
    try:
        return tactics(target, chunk_size, data_type, (-1, -1, width), shapes[conv_bias], shapes[norm_weight])
    except ValueError as error:
        raise PlanError(f"{error}; build without it: --no-plugin") from error
