"""Which of a bundle's plans runs here, and in which of its shapes: all that is decided before TensorRT sees a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from ...contract import PLAN_PRECISIONS
from ...embedding.batching import bucket
from ...errors import BundleError, EngineError, InputError

if TYPE_CHECKING:  # where a server runs this module, there is no bundle
    from ...bundles.bundle import Bundle
    from ...bundles.manifest import OptimizationProfile, Plan


@dataclass(frozen=True)
class PlanBinding:
    """What a plan is bound to."""

    tensorrt: str
    """Full version, 10.9.0.34. TensorRT loads a plan only in the exact version that built it."""
    compute_capability: str
    """Of the GPU, 9.0."""


def build_command(bundle: Bundle, precision: str) -> str:
    """What builds a plan of a bundle on the machine where it is run."""
    return f"lam-export trt {quote(str(bundle.path))} --{precision}"


def read_plan(bundle: Bundle, precision: str, binding: PlanBinding) -> tuple[str, bytes]:
    """The plan that runs here, its name and its content: :func:`choose_plan`, then the check of its hash.

    Raises:
        EngineError: there is no such precision.
        BundleError: no plan runs here, or it was altered.
    """
    name = choose_plan(bundle, precision, binding)
    return name, bundle.read(name)


def choose_plan(bundle: Bundle, precision: str, binding: PlanBinding) -> str:
    """The name of the plan that runs here; of several the one that was built last.

    Args:
        bundle: an open bundle.
        precision: of the plan, one of :data:`~lam_engines.contract.PLAN_PRECISIONS`.
        binding: of this machine.

    Raises:
        EngineError: there is no such precision.
        BundleError: the bundle has no plan of that precision, or none for this TensorRT and this GPU, or it was built
            from another graph; says which command builds it.
    """
    if precision not in PLAN_PRECISIONS:
        raise EngineError(
            f"expected precision {' or '.join(PLAN_PRECISIONS)} with the engine tensorrt, found {precision!r}"
        )
    build = build_command(bundle, precision)
    plans = bundle.manifest.plans
    found = {name: plan for name, plan in plans.items() if plan.precision == precision}
    if not found:
        there = ", ".join(sorted({plan.precision for plan in plans.values()})) or "none"
        raise BundleError(
            f"expected a plan of precision {precision} in {bundle.path}, found {there}; build it here: {build}"
        )
    here = {name: plan for name, plan in found.items() if plan.tensorrt == binding.tensorrt}
    if not here:
        there = ", ".join(sorted({plan.tensorrt for plan in found.values()}))
        raise BundleError(
            f"expected a plan for TensorRT {binding.tensorrt}, the version installed here, found {precision} plans "
            f"for {there} in {bundle.path}; build it here: {build}"
        )
    fitting = [name for name, plan in here.items() if plan.compute_capability == binding.compute_capability]
    if not fitting:
        there = ", ".join(sorted({f"{plan.compute_capability} ({plan.gpu})" for plan in here.values()}))
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


def max_tokens(plan: Plan) -> int:
    """The longest text that a plan takes."""
    return max(profile.tokens.max for profile in plan.profiles)


def max_batch(plan: Plan, tokens: int, bundle: Bundle) -> int:
    """How many texts of so many tokens a plan takes at once.

    Raises:
        InputError: none; names the longest text that it takes, and the command that builds a plan for longer ones.
    """
    batches = [profile.batch.max for profile in plan.profiles if tokens <= profile.tokens.max]
    if not batches:
        raise InputError(
            f"expected texts of at most {max_tokens(plan)} tokens, the longest that the plan's profiles take, found "
            f"one of {tokens}; build a plan for longer texts: {build_command(bundle, plan.precision)} --max-tokens "
            f"{bucket(tokens)}"
        )
    return max(batches)


def choose_profile(profiles: Sequence[OptimizationProfile], batch: int, tokens: int) -> int:
    """The index of the tightest profile that takes a batch: its kernels were chosen for the most similar shapes.

    Args:
        profiles: of the plan; one of them takes the batch, see :func:`max_batch`.
        batch: texts.
        tokens: of the longest.
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
