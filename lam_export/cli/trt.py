"""``lam-export trt``: build a TensorRT plan from a bundle's graph."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from lam_engines.errors import LamError

from ._console import examples, out, say
from ._options import MADE_FROM, REPEATED, BundleArgument, Teacher, Verbose, several
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export trt my-model",
    "lam-export trt my-model --max-tokens 32768",
    "lam-export trt my-model --profile 1x1,1x32,16x64 --profile 1x1,1x4096,1x32768",
    "lam-export trt my-model --fp32 --no-plugin --optimization-level 5 --workspace 8",
    "lam-export trt my-model --fp16 --checkpoint my-checkpoint",
    "lam-export trt my-model --rtx",
    "lam-export trt my-model --rtx --gpu 8.6,8.9 --fp32",
)


def run(
    bundle: BundleArgument,
    rtx: Annotated[
        bool,
        typer.Option("--rtx", help="Build with TensorRT for RTX: one plan for many GPUs. It needs no GPU."),
    ] = False,
    gpu: Annotated[
        list[str] | None,
        several(
            "With --rtx: compute capabilities to build for, such as 8.6,8.9.", default="all that one plan supports"
        ),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Build from model.fp16.onnx; this is the default.")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="Build from model.onnx, without TF32.")] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Shapes to build for: MIN,OPT,MAX, each BATCHxTOKENS, such as 1x1,1x32,64x64. {REPEATED}",
            show_default="three, for queries, paragraphs and documents",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, max=2**20, help="Tokens of the longest text in the default profiles.", show_default="8192"),
    ] = None,
    no_plugin: Annotated[
        bool,
        typer.Option(
            "--no-plugin", help="Build the delta rule from TensorRT's own layers instead of the fused kernel."
        ),
    ] = False,
    workspace: Annotated[
        float | None,
        typer.Option(min=0.001, help="GiB of GPU memory that a layer may use.", show_default="all"),
    ] = None,
    optimization_level: Annotated[
        int | None,
        typer.Option(
            min=0, max=5, help="0 builds fastest; 5 tries every kernel.", show_default="TensorRT's default, 3"
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help=f"{MADE_FROM}. Needed only if the bundle lacks model.fp16.onnx.", show_default=False),
    ] = None,
    teacher: Teacher = None,
    verbose: Verbose = False,
) -> None:
    """Build a TensorRT plan for this machine's GPU, or with --rtx for many GPUs, and add it to the bundle.

    A plan of TensorRT runs only on the GPU model and the version that it was built with. It is built on CUDA's first
    device; choose another with CUDA_VISIBLE_DEVICES.

    A plan of TensorRT for RTX is built on the CPU. It runs on all kinds of GPUs that it was built for, with the version
    that built it.
    """
    from lam_export.pipelines.build_plan import build_plan

    if fp16 and fp32:
        raise LamError("expected --fp16 or --fp32, found both; run lam-export trt once for each")
    with shown_progress() as progress:
        added = build_plan(
            bundle,
            rtx=rtx,
            gpus=gpu or (),
            precision="fp32" if fp32 else "fp16" if fp16 else None,
            profiles=profile or (),
            max_tokens=max_tokens,
            plugin=not no_plugin,
            workspace=workspace,
            optimization_level=optimization_level,
            checkpoint=checkpoint,
            teacher=teacher,
            verbose=verbose,
            progress=progress,
        )
    plan, entry = added.plan, added.bundle.manifest.files[added.name]
    say(out, f"Wrote {bundle / added.name}, {entry.bytes / 1e6:.1f} MB", style="green")
    say(out, f"  {plan}")
    say(out, f"  built on {plan.gpu}, driver {plan.driver}" if plan.gpu else "  built on the CPU; it has not run")
    for shapes in plan.profiles:
        say(out, f"  profile {shapes}")
    for node, tactic in plan.tactics.items():
        say(out, f"  {node}: {tactic}")
    if added.bundle.manifest.memory_layer is None:
        where = " on a machine with one of these GPUs" if rtx else ""
        command = f"lam-export validate {quote(str(bundle))} --checkpoint CHECKPOINT --engine {plan.library}"
        say(out, f"Validate it{where}: {command}")
