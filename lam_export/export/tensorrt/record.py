"""Puts a plan and its timing cache into the bundle."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import Manifest, OptimizationProfile, Plan
from lam_engines.bundles.writing import extend_bundle
from lam_engines.contract import MEMORY_MODEL, PLANS, Precision
from lam_engines.errors import BundleError

from .environment import BuildEnvironment


@dataclass(frozen=True)
class BuiltPlan:
    """The results of a build."""

    plan: bytes
    """The serialised engine."""
    inspector: str | None
    """The engine inspector's JSON; None if there was no GPU to inspect the plan with."""
    timing_cache: bytes | None
    """Kernel timings that speed up the next build; None if the library gave none."""
    warnings: tuple[str, ...] = ()
    """What the library warned of."""


@dataclass(frozen=True)
class PlanSource:
    """The graph and the options that a plan is built from."""

    graph: str
    """The graph's file in the bundle."""
    graph_sha256: str
    precision: Precision
    plugin: bool
    profiles: tuple[OptimizationProfile, ...]


def plan_source(
    bundle: Bundle, precision: Precision, plugin: bool, profiles: tuple[OptimizationProfile, ...]
) -> PlanSource:
    """The source of a plan: the bundle's graph in a precision. A memory has one graph, in fp32.

    Raises:
        BundleError: the bundle has no such graph.
    """
    graph = bundle.graph(precision) if bundle.manifest.memory_layer is None else MEMORY_MODEL
    return PlanSource(graph, bundle.manifest.files[graph].sha256, precision, plugin, profiles)


def known_timing_cache(bundle: Bundle, environment: BuildEnvironment) -> bytes | None:
    """The timing cache of earlier builds with this TensorRT on this GPU; None if there is none.

    Raises:
        BundleError: the file was altered.
    """
    name = bundle.manifest.timing_cache.get(_timing_key(environment))
    return None if name is None else bundle.read(name)


def record_plan(
    path: Path, built: BuiltPlan, source: PlanSource, environment: BuildEnvironment, tactics: Mapping[str, str]
) -> tuple[Bundle, str]:
    """Put a plan into a bundle. It replaces one of the same precision, GPUs, library version and plugin choice.

    Args:
        path: the bundle.
        built: the plan, its inspector's JSON and the timing cache.
        source: the graph that it was built from.
        environment: the library that built it, and the GPUs that it is for.
        tactics: the chosen variant of each fused node.

    Returns:
        The extended bundle, and the plan's name in it.

    Raises:
        BundleError: the graph was replaced meanwhile, the bundle is broken, or the disk is full. The bundle
            is unchanged.
    """
    stem = f"{PLANS}/{_stem(source, environment)}"
    name = f"{stem}-{_short_hash(built.plan)}.plan"
    files = {name: built.plan}
    inspector = None
    if built.inspector is not None:
        inspector = f"{stem}-{_short_hash(built.inspector.encode())}.json"
        files[inspector] = built.inspector.encode()
    entry = Plan(
        graph=source.graph,
        graph_sha256=source.graph_sha256,
        precision=source.precision,
        plugin=source.plugin,
        library=environment.library.name,
        version=environment.version,
        compute_capabilities=environment.compute_capabilities,
        gpu=environment.gpu,
        driver=environment.driver,
        profiles=source.profiles,
        tactics=dict(tactics),
        inspector=inspector,
    )
    caches: dict[str, str] = {}
    if built.timing_cache is not None:
        cache = f"{PLANS}/timing-{_short_hash(built.timing_cache)}.cache"
        files[cache] = built.timing_cache
        caches[_timing_key(environment)] = cache

    def change(manifest: Manifest) -> Manifest:
        graph = manifest.files.get(source.graph)
        if graph is None or graph.sha256 != source.graph_sha256:
            raise BundleError(
                f"{source.graph} of {path} was replaced while the plan was built; build it again: lam-export trt"
            )
        kept = {other: plan for other, plan in manifest.plans.items() if not _replaces(entry, plan)}
        return manifest.model_copy(
            update={"plans": {**kept, name: entry}, "timing_cache": {**_other_caches(manifest, environment), **caches}}
        )

    before = Bundle(path, kind=None).manifest
    unused = _named(before) - _named(change(before))
    return extend_bundle(path, files, change, drop=unused), name


def _replaces(new: Plan, old: Plan) -> bool:
    def kind(plan: Plan) -> tuple[object, ...]:
        return plan.precision, plan.plugin, plan.library, plan.version, plan.compute_capabilities, plan.gpu

    return kind(new) == kind(old)


def _other_caches(manifest: Manifest, environment: BuildEnvironment) -> dict[str, str]:
    # If TensorRT returned no cache, it could not use the old one, and could not use it the next time either.
    return {key: name for key, name in manifest.timing_cache.items() if key != _timing_key(environment)}


def _named(manifest: Manifest) -> set[str]:
    inspectors = {plan.inspector for plan in manifest.plans.values() if plan.inspector is not None}
    return {*manifest.plans, *inspectors, *manifest.timing_cache.values()}


def _timing_key(environment: BuildEnvironment) -> str:
    return f"{environment.version} {environment.gpu} {environment.target}"


def _stem(source: PlanSource, environment: BuildEnvironment) -> str:
    """The beginning of a plan's file name, such as fp16-noplugin-sm90-trt10.9.0."""
    version = ".".join(re.findall(r"\d+", environment.version)[:3])
    plugin = "" if source.plugin else "-noplugin"
    target = environment.target.replace("sm_", "sm")
    return f"{source.precision}{plugin}-{target}-{environment.library.short}{version}"


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
