"""The build of a plan with TensorRT."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import onnx
from polygraphy.backend.base import BaseLoader
from polygraphy.backend.trt import CreateConfig, EngineBytesFromNetwork, EngineFromBytes, NetworkFromOnnxBytes
from polygraphy.backend.trt import Profile as TrtProfile
from polygraphy.exception import PolygraphyException

from lam_engines.bundles.manifest import OptimizationProfile
from lam_engines.contract import INPUTS
from lam_engines.progress import Progress

from . import PlanError
from .environment import BuildEnvironment
from .messages import collected_errors
from .progress import BuildProgress
from .record import BuiltPlan

_T = TypeVar("_T")


@dataclass(frozen=True)
class BuildOptions:
    """Limits for the builder."""

    workspace: int | None = None
    """Bytes of GPU memory that a layer may use besides its tensors; None: all of the GPU's memory."""
    optimization_level: int | None = None
    """From 0, the fastest build, to 5, which tries every kernel; None: TensorRT's default of 3."""
    verbose: bool = False
    """Show the builder's own messages."""


class PlanFromGraph(BaseLoader):
    """A Polygraphy loader that builds a plan from a graph. The plan keeps the graph's types."""

    def __init__(
        self,
        model: onnx.ModelProto,
        profiles: Sequence[OptimizationProfile],
        *,
        options: BuildOptions,
        timing_cache: bytes | None = None,
        progress: BuildProgress | None = None,
    ) -> None:
        """Take the graph and the options of a build.

        Args:
            model: the graph from :mod:`.graph`.
            profiles: shapes to build for, at least one.
            options: limits for the builder.
            timing_cache: the timing cache of an earlier build with this TensorRT on this GPU.
            progress: told of the builder's phases.
        """
        self._model = model
        self._profiles = profiles
        self._options = options
        self._timing_cache = timing_cache
        self._progress = progress

    def call_impl(self) -> BuiltPlan:
        """Build the plan, then inspect it.

        Raises:
            PolygraphyException: TensorRT failed. Only its log says why.
        """
        import tensorrt as trt

        limit = self._options.workspace
        with tempfile.TemporaryDirectory() as folder:
            known, measured = Path(folder, "known"), Path(folder, "measured")
            if self._timing_cache is not None:
                known.write_bytes(self._timing_cache)
            config = CreateConfig(
                profiles=[_trt_profile(profile) for profile in self._profiles],
                load_timing_cache=None if self._timing_cache is None else str(known),
                profiling_verbosity=trt.ProfilingVerbosity.DETAILED,  # lets the inspector name tactics
                memory_pool_limits=None if limit is None else {trt.MemoryPoolType.WORKSPACE: limit},
                builder_optimization_level=self._options.optimization_level,
                progress_monitor=None if self._progress is None else _monitor(self._progress),
            )
            # TensorRT 11 ignores the flag, because it has no other typing.
            network = NetworkFromOnnxBytes(self._model.SerializeToString(), strongly_typed=True)
            plan = bytes(EngineBytesFromNetwork(network, config, save_timing_cache=str(measured))())
            timing_cache = measured.read_bytes() if measured.exists() else None
        engine = EngineFromBytes(plan)()
        inspector = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        return BuiltPlan(plan, inspector, timing_cache)


def run_builder(
    model: onnx.ModelProto,
    profiles: Sequence[OptimizationProfile],
    environment: BuildEnvironment,
    *,
    options: BuildOptions,
    timing_cache: bytes | None = None,
    progress: Progress,
) -> BuiltPlan:
    """Build a plan. Ctrl-C and SIGTERM end the build at its next step.

    The arguments are those of :class:`PlanFromGraph`. ``environment`` is for the error message.

    Raises:
        PlanError: TensorRT could not build it. The message quotes TensorRT's first error.
        Exception: any exception that ``progress`` raised.
    """
    told = BuildProgress(progress)
    loader = PlanFromGraph(model, profiles, options=options, timing_cache=timing_cache, progress=told)
    with collected_errors(options.verbose) as errors:
        try:
            built = stoppable(loader, told.stop)
        except PolygraphyException as error:
            if told.error is not None:
                raise told.error from error
            reason = " ".join((errors or [str(error)])[0].split())
            raise PlanError(
                f"TensorRT {environment.tensorrt} could not build the plan: {reason[:500]}; see all its messages "
                f"with --verbose; try smaller profiles, or --no-plugin"
            ) from error
    if told.error is not None:
        raise told.error
    return built


def _trt_profile(profile: OptimizationProfile) -> TrtProfile:
    batch, tokens = profile.batch, profile.tokens
    shapes = {"min": (batch.min, tokens.min), "opt": (batch.opt, tokens.opt), "max": (batch.max, tokens.max)}
    found = TrtProfile()
    for name in INPUTS:
        found.add(name, **shapes)
    return found


def _monitor(progress: BuildProgress) -> Any:
    import tensorrt as trt

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 insists on this very call

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.phase_start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step_complete(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.phase_finish(phase_name)

    return Monitor()


def stoppable(work: Callable[[], _T], stop: Callable[[], None]) -> _T:
    """Do work in another thread, which gets no signals, and stop the work when this thread is interrupted.

    TensorRT calls Python from functions that must not raise. A signal's exception there would end the process.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work)
        try:
            while not future.done():
                wait([future], timeout=0.2)  # in short turns, because Windows notices Ctrl-C only between them
            return future.result()
        except BaseException:
            stop()
            raise
