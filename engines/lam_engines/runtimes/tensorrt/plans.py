"""Chooses the plan of a bundle that runs here, and the shape to run. None of this needs TensorRT."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from ...contract import PLAN_PRECISIONS
from ...embedding.batching import bucket
from ...errors import BundleError, EngineError, InputError

if TYPE_CHECKING:  # a server that runs this module has no bundle package
    from ...bundles.bundle import Bundle
    from ...bundles.manifest import OptimizationProfile, Plan
    from .library import Library, PlanBinding


def build_command(bundle: Bundle, precision: str, library: Library) -> str:
    """The command that builds a bundle's plan for the machine that it runs on."""
    return f"lam-export trt {quote(str(bundle.path))} --{precision}{library.build_option}"


def choose_plan(bundle: Bundle, precision: str, binding: PlanBinding) -> str:
    """The name of the plan that runs here. If there are several, it is the one that was built last.

    Args:
        bundle: an open bundle.
        precision: the plan's precision, one of :data:`~lam_engines.contract.PLAN_PRECISIONS`.
        binding: this machine's binding.

    Raises:
        EngineError: the precision is unknown.
        BundleError: the bundle has no plan of that precision for this library and this GPU, or the plan was built from
            another graph. The message says which command builds it.
    """
    library = binding.library
    if precision not in PLAN_PRECISIONS:
        raise EngineError(
            f"expected precision {' or '.join(PLAN_PRECISIONS)} with the engine {library.name}, found {precision!r}"
        )
    build = build_command(bundle, precision, library)
    plans = plans_of(bundle, library)
    found = {name: plan for name, plan in plans.items() if plan.precision == precision}
    if not found:
        there = ", ".join(sorted({plan.precision for plan in plans.values()})) or "none"
        raise BundleError(
            f"expected a plan of precision {precision} for {library.title} in {bundle.path}, found {there}; build it "
            f"here: {build}"
        )
    here = {name: plan for name, plan in found.items() if plan.version == binding.version}
    if not here:
        there = ", ".join(sorted({plan.version for plan in found.values()}))
        raise BundleError(
            f"expected a plan for {library.title} {binding.version}, the version installed here, found {precision} "
            f"plans for {there} in {bundle.path}; build it here: {build}"
        )
    fitting = [name for name, plan in here.items() if binding.compute_capability in (None, *plan.compute_capabilities)]
    if not fitting:
        built = [(capability, plan.gpu) for plan in here.values() for capability in plan.compute_capabilities]
        there = ", ".join(sorted({f"{capability} ({gpu})" if gpu else capability for capability, gpu in built}))
        raise BundleError(
            f"expected a plan for compute capability {binding.compute_capability}, that of the GPU here, found "
            f"{precision} plans for {there} in {bundle.path}; build it here: {build}"
        )
    name = fitting[-1]
    plan = plans[name]
    graph = bundle.manifest.files.get(plan.graph)
    if graph is not None and graph.sha256 != plan.graph_sha256:
        raise BundleError(
            f"expected {name} to be built from the {plan.graph} of {bundle.path}, found it built from another; build "
            f"it again: {build}"
        )
    return name


def plans_of(bundle: Bundle, library: Library) -> dict[str, Plan]:
    """The bundle's plans of a library, by name, in the order in which they were built."""
    return {name: plan for name, plan in bundle.manifest.plans.items() if plan.library == library.name}


def max_tokens(plan: Plan) -> int:
    """The number of tokens of the longest text that a plan takes."""
    return max(profile.tokens.max for profile in plan.profiles)


def max_batch(plan: Plan, tokens: int, bundle: Bundle, library: Library) -> int:
    """The largest number of texts of that many tokens that a plan takes at once.

    Raises:
        InputError: the texts are too long. The message names the limit and the command that builds a plan for them.
    """
    batches = [profile.batch.max for profile in plan.profiles if tokens <= profile.tokens.max]
    if not batches:
        raise InputError(
            f"expected texts of at most {max_tokens(plan)} tokens, the longest that the plan's profiles take, found "
            f"one of {tokens}; build a plan for longer texts: {build_command(bundle, plan.precision, library)} "
            f"--max-tokens {bucket(tokens)}"
        )
    return max(batches)


def choose_profile(profiles: Sequence[OptimizationProfile], batch: int, tokens: int) -> int:
    """The index of the smallest profile that takes a batch. Its kernels were chosen for the most similar shapes.

    Args:
        profiles: the plan's profiles. At least one must take the batch, see :func:`max_batch`.
        batch: number of texts.
        tokens: tokens of the longest text.
    """

    def size(index: int) -> tuple[int, int]:
        most = profiles[index]
        return most.batch.max * most.tokens.max, most.tokens.max

    fitting = [i for i, profile in enumerate(profiles) if batch <= profile.batch.max and tokens <= profile.tokens.max]
    return min(fitting, key=size)


def padded_shape(profile: OptimizationProfile, batch: int, tokens: int) -> tuple[int, int]:
    """The shape ``(batch, tokens)`` that a batch is padded to: the next bucket, within the profile."""
    rows = min(max(bucket(batch), profile.batch.min), profile.batch.max)
    length = min(max(bucket(tokens), profile.tokens.min), profile.tokens.max)
    return rows, length
