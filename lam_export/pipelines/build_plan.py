"""``lam-export trt``: build a plan of TensorRT or TensorRT for RTX from a bundle's graph, and add it to the bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import OptimizationProfile, Plan
from lam_engines.contract import FP16_MODEL
from lam_engines.errors import BundleError
from lam_engines.machine import cache_folder
from lam_engines.progress import Progress
from lam_export.export.tensorrt import PlanError
from lam_export.export.tensorrt.profiles import MEMORY_PROFILE, profiles_from_options
from lam_export.requirements import require, require_export

from .inputs import read_checkpoint

if TYPE_CHECKING:
    import onnx

    from lam_engines.contract import Precision
    from lam_export.export.tensorrt.worker import PluginOptions
    from lam_export.model.checkpoint import Checkpoint

_LEVELS = range(6)
_GIB = 2**30


@dataclass(frozen=True)
class AddedPlan:
    """What :func:`build_plan` added to a bundle."""

    bundle: Bundle
    """The extended bundle."""
    name: str
    """The plan's file in the bundle, such as ``engines/fp16-sm90-trt10.9.0-0123456789ab.plan``."""
    plan: Plan
    """The plan's entry in the manifest."""


def build_plan(
    bundle: Bundle | Path | str,
    *,
    rtx: bool = False,
    gpus: Sequence[str] = (),
    precision: "Precision | None" = None,
    profiles: Sequence[OptimizationProfile | str] = (),
    max_tokens: int | None = None,
    plugin: bool = True,
    workspace: float | None = None,
    optimization_level: int | None = None,
    checkpoint: "Checkpoint | Path | str | None" = None,
    teacher: Path | str | None = None,
    verbose: bool = False,
    progress: Progress = Progress(),
) -> AddedPlan:
    """Build a plan, and keep it in the bundle.

    A plan of TensorRT runs only on the GPU model and the version that it was built with. It is built on CUDA's first
    device; choose another with ``CUDA_VISIBLE_DEVICES``. A plan of TensorRT for RTX is built without a GPU, and runs on
    all the kinds of GPUs that it was built for, with the version that built it. Ctrl-C and SIGTERM end the build.

    Example:
        ```python
        added = lam_export.build_plan("my-model", rtx=True, profiles=["1x1,1x32,16x64", "1x1,1x4096,1x32768"])
        added.name, added.plan.compute_capabilities
        ```

    Args:
        bundle: an open bundle, or its folder: of an encoder of any form, or of a memory.
        rtx: build with TensorRT for RTX. Its plans never have the fused kernel.
        gpus: with ``rtx``, the compute capabilities to build for, such as ``8.6``; if left out, all that one plan can
            be for.
        precision: ``fp16``, built from ``model.fp16.onnx``, or ``fp32``, built from ``model.onnx`` without TF32; if
            left out, ``fp16``, and ``fp32`` for a memory, which has no other.
        profiles: shapes to build for, each ``MIN,OPT,MAX`` of ``BATCHxTOKENS``, for a memory of ``BATCHxQUERIES``; if
            left out, three profiles for queries, paragraphs and documents, or a memory's own.
        max_tokens: longest text of the default profiles; if left out, 8192.
        plugin: build the flat form's delta rule from the fused kernel; if False, from TensorRT's own layers.
        workspace: GPU memory that a layer may use, in GiB; if left out, all of it.
        optimization_level: from 0, the fastest build, to 5, which tries every kernel; if left out, TensorRT's
            default, 3.
        checkpoint: the checkpoint that the bundle was made from; needed only if ``model.fp16.onnx`` is missing and
            must be made.
        teacher: the checkpoint's teacher (a BERT); needed only if the checkpoint lacks weights or the tokenizer.
        verbose: show TensorRT's own messages.
        progress: told of each step.

    Raises:
        LamError: a package is missing.
        EngineError: there is no GPU here, and TensorRT needs one.
        PlanError: an option has a wrong value, two options exclude each other, the library is missing, or it cannot
            build the plan.
        BundleError: there is no bundle, it lacks the graph, or was made from another checkpoint.
        ExportError: the new ``model.fp16.onnx`` does not match the reference; the bundle is unchanged.
    """
    shapes = profiles_from_options(profiles, max_tokens)
    _check_options(precision, workspace, optimization_level, rtx=rtx, gpus=gpus)
    before = bundle if isinstance(bundle, Bundle) else Bundle(bundle, kind=None)
    memory = before.manifest.memory_layer is not None
    if memory:
        _check_memory_options(before, precision, max_tokens)
        shapes = shapes if profiles else (MEMORY_PROFILE,)
    precision = precision or ("fp32" if memory else "fp16")
    chunk_size = before.manifest.chunk_size if plugin and not rtx and before.manifest.form == "flat" else None
    plugin = chunk_size is not None
    absent = precision == "fp16" and FP16_MODEL not in before.manifest.files
    if absent and checkpoint is None:
        raise BundleError(
            f"expected {FP16_MODEL} in {before.path}, found none; name its checkpoint: --checkpoint "
            f"CHECKPOINT, or make it again: lam-export onnx CHECKPOINT -o {before.path} --precision fp16 --force"
        )
    if not memory:
        before.graph("fp32" if absent else precision)

    progress.begin("looking at TensorRT for RTX" if rtx else "looking at TensorRT and the GPU", None)
    package, extra = ("tensorrt_rtx", "export,rtx") if rtx else ("tensorrt", "trt")
    require(package, "onnx", "onnx_ir", "onnxscript", *(["triton"] if plugin else []), extra=extra)
    if absent:
        require_export()
    from lam_export.export.tensorrt.environment import find_environment, find_rtx

    environment = find_rtx(gpus) if rtx else find_environment(plugin=plugin)
    from lam_export.export.tensorrt.build import run_builder
    from lam_export.export.tensorrt.graph import load_graph
    from lam_export.export.tensorrt.inspector import fused_tactics
    from lam_export.export.tensorrt.record import known_timing_cache, plan_source, record_plan
    from lam_export.export.tensorrt.worker import BuildOptions

    if absent and checkpoint is not None:
        progress.begin("reading the checkpoint", None)
        from .added_graph import add_fp16_graph

        before = add_fp16_graph(before, read_checkpoint(checkpoint, teacher), verbose=verbose, progress=progress)
    source = plan_source(before, precision, plugin, shapes)
    prepared = _prepared(load_graph(before, source.graph), chunk_size, shapes, environment.target, progress)
    progress.begin(f"giving the graph to {environment.library.title}", None)
    built = run_builder(
        prepared.model,
        shapes,
        environment,
        options=BuildOptions(None if workspace is None else int(workspace * _GIB), optimization_level, verbose),
        plugin=prepared.plugin,
        timing_cache=known_timing_cache(before, environment),
        progress=progress,
    )
    tactics = fused_tactics(built.inspector or "", prepared.nodes, prepared.variants)
    after, name = record_plan(before.path, built, source, environment, tactics)
    return AddedPlan(after, name, after.manifest.plans[name])


def _check_options(
    precision: str | None, workspace: float | None, optimization_level: int | None, *, rtx: bool, gpus: Sequence[str]
) -> None:
    if gpus and not rtx:
        raise PlanError(
            f"expected --gpu with --rtx only, found {', '.join(gpus)}; TensorRT builds for the GPU of this machine"
        )
    if precision not in ("fp16", "fp32", None):
        raise PlanError(f"expected precision fp16 or fp32, found {precision!r}")
    if workspace is not None and not workspace > 0:
        raise PlanError(f"expected a workspace of more than 0 GiB, found {workspace}")
    if optimization_level is not None and optimization_level not in _LEVELS:
        raise PlanError(f"expected optimization level {_LEVELS[0]} to {_LEVELS[-1]}, found {optimization_level}")


def _check_memory_options(bundle: Bundle, precision: str | None, max_tokens: int | None) -> None:
    if precision == "fp16" or max_tokens is not None:
        found = "fp16" if precision == "fp16" else "--max-tokens"
        raise PlanError(f"{found} does not apply to a memory's bundle, {bundle.path}; leave it out, or see --profile")


@dataclass(frozen=True)
class _Prepared:
    """A graph as it is given to TensorRT's parser."""

    model: "onnx.ModelProto"
    nodes: Sequence[str] = ()
    """The fused nodes' names; empty without the plugin."""
    variants: Mapping[int, str] = field(default_factory=dict)
    """The kernel's variant for each tactic of the plugin."""
    plugin: "PluginOptions | None" = None


def _prepared(
    model: "onnx.ModelProto",
    chunk_size: int | None,
    profiles: tuple[OptimizationProfile, ...],
    target: str,
    progress: Progress,
) -> _Prepared:
    """The graph with the plugin of a chunk size, or with standard operators alone."""
    from lam_export.export.tensorrt.graph import fused_nodes, with_plugin, without_plugin

    if chunk_size is None:
        progress.begin("writing the layers as standard operators", None)
        return _Prepared(without_plugin(model))
    progress.begin(f"compiling the fused operator for {target}", None)
    from lam_export.export.tensorrt.plugin import ready_plugin
    from lam_export.export.tensorrt.worker import PluginOptions

    builds = ready_plugin(model, chunk_size, profiles, target)
    return _Prepared(
        with_plugin(model),
        fused_nodes(model),
        {tactic: build.variant for tactic, build in builds.items()},
        PluginOptions(chunk_size, target, cache_folder()),
    )
