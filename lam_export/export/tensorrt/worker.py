"""``python -m lam_export.export.tensorrt.worker FOLDER``: build the plan of a job. ``build.py`` runs this.

A process of its own can be ended at once, while a step of the builder may take a minute. And a library that aborts does
not take the command with it.

The process reports on standard output, one JSON list a line: ``["begin", STEP, PIECES]``, ``["advance", PIECES]``,
``["warning", TEXT]`` and, if it fails, ``["refused", NODE, TEXT]``, where NODE is null unless the parser names one.
"""

import ctypes
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lam_engines.progress import Progress

from .progress import BuildProgress

JOB, GRAPH, TIMING_CACHE, PLAN, INSPECTOR = "job.json", "graph.onnx", "timing.cache", "out.plan", "inspector.json"
"""The files of the folder. The worker writes the last two, and the timing cache anew."""


@dataclass(frozen=True)
class BuildOptions:
    """Limits for the builder."""

    workspace: int | None = None
    """Bytes of GPU memory that a layer may use besides its tensors; None: all of the GPU's memory."""
    optimization_level: int | None = None
    """From 0, the fastest build, to 5, which tries every kernel; None: the library's default."""
    verbose: bool = False
    """Show the library's own messages."""


@dataclass(frozen=True)
class PluginOptions:
    """What the worker needs to register the fused operator's plugin."""

    chunk_size: int
    target: str
    """The GPU, such as sm_90."""
    cache: Path
    """The folder with the compiled kernels."""


@dataclass(frozen=True)
class BuildJob:
    """What to build a plan from, besides the graph."""

    package: str
    """The library's Python package."""
    profiles: Sequence[Mapping[str, Sequence[Sequence[int]]]]
    """For each profile, the smallest, the best and the largest shape of every input."""
    compute_capabilities: Sequence[str]
    """The members of the library's ``ComputeCapability`` to build for; if empty, for the GPU of this machine."""
    options: BuildOptions
    plugin: PluginOptions | None
    """None: the graph has no plugin."""


JOBS = TypeAdapter(BuildJob)
"""Writes and reads a job as JSON."""


class RefusalError(Exception):
    """The library does not take the graph or its options."""

    def __init__(self, node: str | None, reason: str) -> None:
        super().__init__(reason)
        self.node, self.reason = node, reason


def build(folder: Path, job: BuildJob, tell: Callable[..., None]) -> None:
    """Build the plan of a folder's graph, without TF32, and inspect it if this machine has the plan's GPU.

    Raises:
        RefusalError: the library cannot build it.
    """
    trt: Any = import_module(job.package)
    if job.plugin is not None:
        _register_plugin(job.plugin)
    log = _log(trt, job.options.verbose, lambda warning: tell("warning", warning))
    builder = trt.Builder(log)
    # TensorRT 11 has no such flag, because it has no other typing.
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse((folder / GRAPH).read_bytes()):
        raise _refused_by(parser, log.errors)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # lets the inspector name tactics
    config.progress_monitor = _monitor(trt, tell)
    if job.options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.options.workspace)
    if job.options.optimization_level is not None:
        config.builder_optimization_level = job.options.optimization_level
    for shapes in job.profiles:
        profile = builder.create_optimization_profile()
        for name, (smallest, best, largest) in shapes.items():
            profile.set_shape(name, smallest, best, largest)
        config.add_optimization_profile(profile)
    if job.compute_capabilities:
        config.num_compute_capabilities = len(job.compute_capabilities)
        for i, name in enumerate(job.compute_capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), i)
    else:  # a timing cache is of one GPU, which the builder would look for
        known = folder / TIMING_CACHE
        cache = config.create_timing_cache(known.read_bytes() if known.exists() else b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RefusalError(None, _first(log.errors))
    (folder / PLAN).write_bytes(plan)
    if not job.compute_capabilities:
        (folder / TIMING_CACHE).write_bytes(config.get_timing_cache().serialize())
        engine = trt.Runtime(log).deserialize_cuda_engine(plan)
        if engine is None:
            raise RefusalError(None, _first(log.errors))
        inspector = engine.create_engine_inspector()
        (folder / INSPECTOR).write_text(inspector.get_engine_information(trt.LayerInformationFormat.JSON), "utf-8")


def _register_plugin(plugin: PluginOptions) -> None:
    from lam_plugins.fused_delta_rule.tensorrt import PluginError, register_plugin

    try:
        register_plugin(plugin.chunk_size, plugin.target, plugin.cache)
    except PluginError as error:
        raise RefusalError(None, str(error)) from error


def _refused_by(parser: Any, errors: Sequence[str]) -> RefusalError:
    """The first of a parser's errors, with its node."""
    if not parser.num_errors:
        return RefusalError(None, _first(errors))
    error = parser.get_error(0)
    name, operator = error.node_name(), error.node_operator()
    node = f"{name or 'without a name'} ({operator})" if operator else None
    return RefusalError(node, _first(error.desc().splitlines()))


_ECHO = re.compile(r"Invalid Node - |.*\bcudaError\b|.*While parsing node|.*-- (Begin|End) node")
"""Lines that say no more than that there is an error, or that there is no GPU, which a build may do without."""


def _first(lines: Sequence[str]) -> str:
    said = [line for line in lines if line.strip() and not _ECHO.match(line)] or [*lines, "it does not say why"]
    return " ".join(said[0].split())[:500]


def _log(trt: Any, verbose: bool, warn: Callable[[str], None]) -> Any:
    severities = trt.ILogger.Severity

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 insists on this very call
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if verbose:
                print(f"{severity.name.lower()}: {message}", file=sys.stderr)  # noqa: T201
            if severity in (severities.INTERNAL_ERROR, severities.ERROR):
                self.errors.append(message)
            elif severity == severities.WARNING:
                warn(message)

    return Log()


def _monitor(trt: Any, tell: Callable[..., None]) -> Any:
    class Monitor(BuildProgress, trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            super().__init__(Progress(partial(tell, "begin"), partial(tell, "advance")))

    return Monitor()


if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # end with the process that asked
    reports = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what else is printed must not mix with the reports
    place = Path(sys.argv[1])

    def report(*words: Any) -> None:
        print(json.dumps(words), file=reports)

    try:
        build(place, JOBS.validate_json((place / JOB).read_bytes()), report)
    except RefusalError as refusal:
        report("refused", refusal.node, refusal.reason)
