"""A bundle with the entry of a TensorRT plan, for what is decided without TensorRT; the plan itself holds no engine."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from lam_engines.bundles.bundle import Bundle, extend_bundle
from lam_engines.bundles.manifest import Plan, Profile, Range


def with_plan(
    bundle: Path,
    copy: Path,
    profiles: Sequence[tuple[int, int, int, int, int, int]],
    *,
    names: Sequence[str] = ("plan",),
) -> Bundle:
    """A copy of a bundle, with plans of its fp32 graph that are said to be fp16.

    Args:
        bundle: with a graph.
        copy: where it goes.
        profiles: of each plan: minimum, optimum and maximum of the batch, then of the tokens.
        names: of the plans.
    """
    shutil.copytree(bundle, copy)
    opened = Bundle(copy)
    plan = Plan(
        graph="model.onnx",
        graph_sha256=opened.manifest.files["model.onnx"].sha256,
        precision="fp16",
        plugin=True,
        tensorrt="10.9.0.34",
        compute_capability="9.0",
        gpu="NVIDIA H200",
        driver="570.86.15",
        profiles=tuple(
            Profile(batch=Range(min=a, opt=b, max=c), tokens=Range(min=d, opt=e, max=f))
            for a, b, c, d, e, f in profiles
        ),
        tactics={},
        inspector="engines/layers.json",
    )
    plans = {f"engines/{name}.plan": plan for name in names}
    files = {name: name.encode() for name in plans} | {"engines/layers.json": b"{}"}
    return extend_bundle(copy, files, lambda m: m.model_copy(update={"plans": {**m.plans, **plans}}))
