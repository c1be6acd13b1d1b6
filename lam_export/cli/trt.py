"""``lam-export trt``: a bundle's graph to a TensorRT plan."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from ._console import err, examples, out, say, steps

if TYPE_CHECKING:
    from rich.progress import Progress

    from lam_engines.bundles.manifest import Plan

EXAMPLES = examples(
    "lam-export trt my-model",
    "lam-export trt my-model --max-tokens 32768",
    "lam-export trt my-model --profile 1x1,1x32,16x64 --profile 1x1,1x4096,1x32768",
    "lam-export trt my-model --fp32 --no-plugin --optimization-level 5 --workspace 8",
    "lam-export trt my-model --fp16 --checkpoint my-checkpoint",
)


def run(
    bundle: Annotated[Path, typer.Argument(help="The bundle; the plan becomes part of it.", show_default=False)],
    fp16: Annotated[bool, typer.Option("--fp16", help="Build from model.fp16.onnx. This is the default.")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="Build from model.onnx, without TF32.")] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Shapes to build for: MIN,OPT,MAX, each BATCHxTOKENS, as 1x1,1x32,64x64; may be repeated.",
            show_default="for queries, paragraphs and documents",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, max=2**20, help="Longest text of the default profiles.", show_default="8192"),
    ] = None,
    no_plugin: Annotated[
        bool,
        typer.Option("--no-plugin", help="Build the delta rule from TensorRT's own layers, not from the fused kernel."),
    ] = False,
    workspace: Annotated[
        float | None,
        typer.Option(min=0.001, help="GPU memory that a layer may use, in GiB.", show_default="all there is"),
    ] = None,
    optimization_level: Annotated[
        int | None,
        typer.Option(min=0, max=5, help="0 is built soonest, 5 tries every kernel.", show_default="TensorRT's own, 3"),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="What the bundle was made from, to make model.fp16.onnx if it is missing.", show_default=False
        ),
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Its teacher, if it needs one.", show_default=False)] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show TensorRT's own messages.")] = False,
) -> None:
    """Build a TensorRT plan for this machine's GPU, and keep it in the bundle.

    A plan is of one model of GPU and one version of TensorRT. It is built on CUDA's first device; choose another with
    CUDA_VISIBLE_DEVICES.
    """
    from lam_engines import BundleError, LamError
    from lam_engines.bundles.bundle import Bundle
    from lam_engines.bundles.manifest import Precision
    from lam_engines.contract import FP16_MODEL
    from lam_export.export.tensorrt.profiles import profiles_from_options

    if fp16 and fp32:
        raise LamError("expected --fp16 or --fp32, found both; run lam-export trt once for each")
    precision: Precision = "fp32" if fp32 else "fp16"
    plugin = not no_plugin
    profiles = profiles_from_options(profile or (), max_tokens)
    opened = Bundle(bundle)
    form, chunk_size = opened.manifest.form, opened.manifest.chunk_size
    if form != "flat" or chunk_size is None:
        raise BundleError(
            f"expected a bundle of the form flat, found {form}; plans of the other forms are not built yet"
        )
    absent = precision == "fp16" and FP16_MODEL not in opened.manifest.files
    if absent and checkpoint is None:
        raise BundleError(
            f"expected {FP16_MODEL} in {bundle}, found none; name what the bundle was made from: --checkpoint "
            f"CHECKPOINT, or make it again: lam-export onnx CHECKPOINT -o {bundle} --precision fp16 --force"
        )
    opened.graph("fp32" if absent else precision)

    with steps(verbose) as step:
        step("looking at TensorRT and the GPU")
        _require_trt(exports=absent, plugin=plugin)
        from lam_export.export.tensorrt.environment import find_environment

        environment = find_environment(plugin=plugin)
        from lam_export.export.tensorrt.build import BuildOptions, build_plan

        if absent and checkpoint is not None:
            step("reading the checkpoint")
            from lam_export.model.checkpoint import load_checkpoint
            from lam_export.pipelines.added_graph import add_fp16_graph

            opened = add_fp16_graph(opened, load_checkpoint(checkpoint, teacher), verbose=verbose, on_step=step)
        step("preparing the graph")
        from lam_export.export.tensorrt.graph import fused_nodes, load_graph, with_plugin, without_plugin
        from lam_export.export.tensorrt.inspector import fused_tactics
        from lam_export.export.tensorrt.progress import BuildProgress
        from lam_export.export.tensorrt.record import known_timing_cache, plan_source, record_plan

        source = plan_source(opened, precision, plugin, profiles)
        model = load_graph(opened, source.graph)
        nodes: list[str] = []
        variants: dict[int, str] = {}
        if plugin:
            step(f"compiling the fused operator for {environment.target}")
            from lam_export.export.tensorrt.plugin import ready_plugin

            builds = ready_plugin(model, chunk_size, profiles, environment.target)
            nodes, variants = fused_nodes(model), {tactic: build.variant for tactic, build in builds.items()}
        model = with_plugin(model) if plugin else without_plugin(model)

    options = BuildOptions(None if workspace is None else int(workspace * 2**30), optimization_level, verbose)
    cache = known_timing_cache(opened, environment)
    with _bars() as bars:
        progress = BuildProgress(bars)
        built = build_plan(model, profiles, environment, options=options, timing_cache=cache, progress=progress)
    extended, name = record_plan(bundle, built, source, environment, fused_tactics(built.inspector, nodes, variants))
    _show(bundle, name, extended.manifest.plans[name], len(built.plan))


def _require_trt(*, exports: bool, plugin: bool) -> None:
    from lam_export.requirements import require, require_export

    kernels = ("triton",) if plugin else ()
    require("tensorrt", "polygraphy", "onnx", "onnx_ir", "onnxscript", *kernels, extra="trt")
    if exports:
        require_export()


def _bars() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.fields[phase]}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def _show(bundle: Path, name: str, plan: "Plan", size: int) -> None:
    from lam_export.export.tensorrt.profiles import shown

    say(out, f"Wrote {bundle / name}, {size / 1e6:.1f} MB", style="green")
    say(
        out,
        f"  TensorRT {plan.tensorrt}, {plan.gpu} (compute capability {plan.compute_capability}, driver {plan.driver})",
    )
    for profile in plan.profiles:
        say(out, f"  profile {shown(profile)}")
    for node, tactic in plan.tactics.items():
        say(out, f"  {node}: {tactic}")
    say(out, f"Validate it: lam-export validate {quote(str(bundle))} --checkpoint CHECKPOINT --engine tensorrt")
