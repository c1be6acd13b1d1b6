"""The build of a plan in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from lam_engines.bundles.manifest import OptimizationProfile
from lam_engines.progress import Progress

from . import PlanError
from .environment import BuildEnvironment
from .record import BuiltPlan
from .worker import GRAPH, INSPECTOR, JOB, JOBS, PLAN, TIMING_CACHE, BuildJob, BuildOptions, PluginOptions

_BATCH = "batch"
"""The name of the graphs' first dynamic dimension. Tokens, or a memory's queries, are the other."""


def run_builder(
    model: onnx.ModelProto,
    profiles: Sequence[OptimizationProfile],
    environment: BuildEnvironment,
    *,
    options: BuildOptions = BuildOptions(),
    plugin: PluginOptions | None = None,
    timing_cache: bytes | None = None,
    progress: Progress = Progress(),
) -> BuiltPlan:
    """Build a plan, which keeps the graph's types. Ctrl-C and SIGTERM end the build at once.

    Args:
        model: the graph from :mod:`.graph`.
        profiles: shapes to build for, at least one.
        environment: the library, and the GPUs to build for.
        options: limits for the builder.
        plugin: the fused operator's plugin, if the graph names it.
        timing_cache: the timing cache of an earlier build with this library on this GPU.
        progress: told of the builder's phases.

    Raises:
        PlanError: the library could not build it. The message names the node that it refuses, or its first error.
    """
    built_for = [f"SM{capability.replace('.', '')}" for capability in environment.compute_capabilities]
    shapes = [_shapes(model, profile) for profile in profiles]
    job = BuildJob(environment.library.package, shapes, [] if environment.gpu else built_for, options, plugin)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / JOB).write_bytes(JOBS.dump_json(job))
        (place / GRAPH).write_bytes(model.SerializeToString())
        if timing_cache is not None:
            (place / TIMING_CACHE).write_bytes(timing_cache)
        warnings = _work(place, environment, options.verbose, plugin is not None, progress)
        inspector, cache = place / INSPECTOR, place / TIMING_CACHE
        return BuiltPlan(
            (place / PLAN).read_bytes(),
            inspector.read_text(encoding="utf-8") if inspector.exists() else None,
            cache.read_bytes() if cache.exists() else None,
            tuple(warnings),
        )


def _work(place: Path, environment: BuildEnvironment, verbose: bool, plugin: bool, progress: Progress) -> list[str]:
    """Run the worker in a folder; its library's warnings."""
    library = f"{environment.library.title} {environment.version}"
    without = ", or build without the plugin: --no-plugin" if plugin else ""
    command = [sys.executable, "-m", f"{__package__}.worker", str(place)]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    warnings: list[str] = []
    refusal: tuple[str | None, str] | None = None
    with (
        (place / "said").open("w+b") as said,
        subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=None if verbose else said, text=True, env=surroundings
        ) as worker,
    ):
        try:
            for line in worker.stdout or ():
                match json.loads(line):
                    case ["begin", str(step), int(pieces)]:
                        progress.begin(f"{environment.library.title}: {step}", pieces)
                    case ["advance", int(done)]:
                        progress.advance(done)
                    case ["warning", str(text)]:
                        warnings.append(text)
                    case ["refused", node, str(reason)]:
                        refusal = node, reason
        except BaseException:
            worker.kill()
            raise
        ended = worker.wait()
        said.seek(0)
        last = (said.read().decode(errors="replace").strip().splitlines() or ["it does not say why"])[-1]
    if refusal is not None and refusal[0] is not None:
        raise PlanError(
            f"{library} refuses the node {refusal[0]}: {refusal[1]}; make the bundle again, with another --opset if "
            f"that does not help: lam-export onnx CHECKPOINT -o BUNDLE --force{without}; see all messages with "
            f"--verbose"
        )
    if refusal is not None or ended != 0:
        reason = refusal[1] if refusal else f"its process ended with {ended}: {last}"
        raise PlanError(
            f"{library} could not build the plan: {reason}; try smaller profiles{without}; see all messages with "
            f"--verbose"
        )
    return warnings


def _shapes(model: onnx.ModelProto, profile: OptimizationProfile) -> Mapping[str, tuple[tuple[int, ...], ...]]:
    """The smallest, the best and the largest shape of every input."""
    given = {tensor.name for tensor in model.graph.initializer}

    def size(dimension: "onnx.TensorShapeProto.Dimension", bound: str) -> int:
        if not dimension.dim_param:
            return int(dimension.dim_value)
        return int(getattr(profile.batch if dimension.dim_param == _BATCH else profile.tokens, bound))

    return {
        value.name: tuple(
            tuple(size(dimension, bound) for dimension in value.type.tensor_type.shape.dim)
            for bound in ("min", "opt", "max")
        )
        for value in model.graph.input
        if value.name not in given
    }
