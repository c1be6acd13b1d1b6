"""A bundle with the entry of a TensorRT plan, for what is decided without TensorRT; the plan itself holds no engine."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bundles

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import OptimizationProfile, Plan, Range
from lam_engines.bundles.writing import extend_bundle
from lam_engines.runtimes.tensorrt.library import TENSORRT, PlanBinding


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
        library="tensorrt",
        version="10.9.0.34",
        compute_capabilities=("9.0",),
        gpu="NVIDIA H200",
        driver="570.86.15",
        profiles=tuple(
            OptimizationProfile(batch=Range(min=a, opt=b, max=c), tokens=Range(min=d, opt=e, max=f))
            for a, b, c, d, e, f in profiles
        ),
        tactics={},
        inspector="engines/layers.json",
    )
    plans = {f"engines/{name}.plan": plan for name in names}
    files = {name: name.encode() for name in plans} | {"engines/layers.json": b"{}"}
    return extend_bundle(copy, files, lambda m: m.model_copy(update={"plans": {**m.plans, **plans}}))


HERE = PlanBinding(TENSORRT, "10.9.0.34", "9.0")


def profile(batch: int, tokens: int, *, least: tuple[int, int] = (1, 1)) -> OptimizationProfile:
    return OptimizationProfile(
        batch=Range(min=least[0], opt=least[0], max=batch), tokens=Range(min=least[1], opt=least[1], max=tokens)
    )


PROFILES = (profile(64, 64), profile(64, 512), profile(4, 8192))


def bundle_with(folder: Path, *plans: dict[str, Any]) -> Bundle:
    """A bundle with plans that differ from one that runs here, in the order in which they were built."""
    bundle = Bundle(bundles.write(folder / "a bundle"))
    for i, changes in enumerate(plans):
        fields = {
            "graph": "model.onnx",
            "graph_sha256": bundle.manifest.files["model.onnx"].sha256,
            "precision": "fp16",
            "plugin": True,
            "library": HERE.library.name,
            "version": HERE.version,
            "compute_capabilities": (HERE.compute_capability,),
            "gpu": "NVIDIA H200",
            "driver": "570.86.15",
            "profiles": PROFILES,
            "tactics": {},
            "inspector": "engines/layers.json",
        }
        plan = {f"engines/{i}.plan": Plan(**{**fields, **changes})}
        files = {f"engines/{i}.plan": f"plan {i}".encode(), "engines/layers.json": b"{}"}
        bundle = extend_bundle(
            bundle.path, files, lambda m, plan=plan: m.model_copy(update={"plans": {**m.plans, **plan}})
        )
    return bundle
