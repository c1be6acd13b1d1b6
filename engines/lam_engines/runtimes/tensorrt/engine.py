"""The engine for plans of TensorRT and of TensorRT for RTX."""

from collections import OrderedDict
from dataclasses import dataclass
from math import prod
from threading import Lock
from typing import Any

import numpy as np

from ...bundles.bundle import Bundle
from ...contract import INPUTS, SENTENCE_EMBEDDING
from ...embedding.batching import GPU_BATCH_TOKENS, GPU_MAX_PADDING, pad_to
from ...embedding.engine import EmbeddingEngine
from ...errors import BundleError, EngineError
from . import cuda
from .library import Library, PlanBinding, one_line
from .plans import build_command, choose_plan, choose_profile, max_batch, max_tokens, padded_shape
from .rtx_settings import RtxSettings

_SCRATCH = "scratch"
_SHAPES = 128
"""How many shapes are kept ready, the most recently used. Texts of all lengths up to 8,192, sorted and batched, need
about 120."""


@dataclass
class _Shape:
    """An execution context for one shape, bound to the stream's current buffers."""

    context: Any
    uses: int = 0
    graph: Any = None


class TensorRtEngine(EmbeddingEngine):
    """Runs one of a bundle's plans on CUDA's first GPU.

    It is thread-safe: one engine may serve many threads. One batch runs at a time.

    A batch is padded to one of few shapes. Each shape has its own execution context. A context's second run is captured
    as a CUDA graph, and later runs replay the graph. There are two reasons for one context per shape: a graph's shapes
    are fixed, and TensorRT 11.1 and 11.2 leak memory when a context changes its shapes (NVIDIA/TensorRT#4849).

    TensorRT for RTX makes the graphs itself, because it replaces kernels of a context while it runs: see
    :class:`~lam_engines.runtimes.tensorrt.rtx_settings.RtxSettings`.
    """

    default_batch_tokens = GPU_BATCH_TOKENS
    max_padding = GPU_MAX_PADDING

    def __init__(self, bundle: Bundle, library: Library, *, precision: str = "fp16") -> None:
        """Load the plan of a precision that was built for this version of the library and this GPU.

        Args:
            bundle: an open bundle.
            library: the library that runs the plan.
            precision: ``fp16`` or ``fp32``. The bundle must have a plan of that precision.

        Raises:
            EngineError: the library or a GPU is missing.
            BundleError: there is no such plan, or it was altered. The message says which command builds it.
        """
        trt = library.module()
        name = choose_plan(bundle, precision, _binding(library))
        content = bundle.read(name)
        self._plan = bundle.manifest.plans[name]
        super().__init__(bundle, name)
        self._library = library
        self._lock = Lock()
        self._shapes: OrderedDict[tuple[int, int, int], _Shape] = OrderedDict()
        self._log = log_of(trt)
        self._runtime = trt.Runtime(self._log)
        again = build_command(bundle, precision, library)
        check_validity(trt, self._runtime, content, f"{library.title} {trt.__version__} cannot run {name}", again)
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise BundleError(
                f"{library.title} {trt.__version__} cannot load {name}: {self._log.said}; build it again: {again}"
            )
        self._outputs = _check_interface(trt, self._engine, name, len(self._plan.profiles), self.model.hidden_size)
        self._stream = cuda.Stream(library.extra)
        self._settings = RtxSettings(trt, self._engine, bundle.manifest.files[name].sha256) if library.is_rtx else None
        self._strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED

    @property
    def max_tokens(self) -> int:
        return max_tokens(self._plan)

    def _max_batch(self, tokens: int) -> int:
        return max_batch(self._plan, tokens, self.bundle, self._library)

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        rows, tokens = input_ids.shape
        profile = choose_profile(self._plan.profiles, rows, tokens)
        shape = padded_shape(self._plan.profiles[profile], rows, tokens)
        feed = dict(zip(INPUTS, pad_to(input_ids, attention_mask, shape, self.model.pad_token_id), strict=True))
        vectors = np.empty((shape[0], self.model.hidden_size), dtype=np.float32)
        with self._lock:
            if self._engine is None:
                raise EngineError(
                    f"this engine is closed; load the bundle again: load_engine(BUNDLE, '{self._library.name}')"
                )
            try:
                ready = self._ready(profile, shape)
                for name, array in feed.items():
                    self._stream.upload(name, array)
                self._run(ready)
                self._stream.download(SENTENCE_EMBEDDING, vectors)
                self._stream.wait()
            except EngineError as error:
                raise EngineError(
                    f"{self._library.title} failed on a batch of {rows} x {tokens} tokens: {error}; if memory is "
                    f"short, lower batch_tokens or cut the longest texts"
                ) from None
        return vectors[:rows]

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                if self._settings is not None:
                    self._settings.keep_cache()
                self._drop_shapes()
                self._stream.close()
                self._engine = self._runtime = self._settings = None

    def _ready(self, profile: int, shape: tuple[int, int]) -> _Shape:
        """The context for a shape. It is made on first use."""
        key = (profile, *shape)
        if key not in self._shapes:
            made = self._make(profile, shape)  # may drop all others
            self._shapes[key] = made
            if len(self._shapes) > _SHAPES:
                self._drop(self._shapes.popitem(last=False)[1])
        self._shapes.move_to_end(key)
        return self._shapes[key]

    def _make(self, profile: int, shape: tuple[int, int]) -> _Shape:
        context = self._engine.create_execution_context(self._settings.config if self._settings else self._strategy)
        self._succeeded(context)
        self._succeeded(context.set_optimization_profile_async(profile, self._stream.handle))
        for name in INPUTS:
            self._succeeded(context.set_input_shape(name, shape))
        sizes = {name: prod(shape) * np.dtype(np.int64).itemsize for name in INPUTS}
        for name in self._outputs:
            sizes[name] = prod(context.get_tensor_shape(name)) * np.dtype(np.float32).itemsize
        # Batches run one after the other, so all contexts share one scratch buffer. A buffer that grows moves, so all
        # contexts and graphs that were bound to the old address are dropped.
        sizes[_SCRATCH] = max(1, context.update_device_memory_size_for_shapes())
        if self._stream.too_small(sizes):
            self._drop_shapes()
            self._stream.reserve(sizes)
        context.set_device_memory(*self._stream.buffer(_SCRATCH))
        for name in (*INPUTS, *self._outputs):
            self._succeeded(context.set_tensor_address(name, self._stream.buffer(name)[0]))
        return _Shape(context)

    def _run(self, shape: _Shape) -> None:
        def enqueue() -> bool:
            return bool(shape.context.execute_async_v3(self._stream.handle))

        if shape.uses == 1 and self._settings is None:  # the first run does one-time work that cannot be captured
            shape.graph = self._stream.capture(enqueue)
        shape.uses += 1
        if shape.graph is not None:
            self._stream.launch(shape.graph)
        else:
            self._succeeded(enqueue())

    def _succeeded(self, outcome: object) -> None:
        if outcome is None or outcome is False:
            raise EngineError(self._log.said)

    def _drop(self, shape: _Shape) -> None:
        if shape.graph is not None:
            self._stream.forget(shape.graph)
        shape.graph = shape.context = None

    def _drop_shapes(self) -> None:
        for shape in self._shapes.values():
            self._drop(shape)
        self._shapes.clear()


def _binding(library: Library) -> PlanBinding:
    """What a plan must be built for. Where no GPU is found that fits, a library that checks plans itself says why."""
    try:
        return library.binding()
    except EngineError:
        if not library.is_rtx:
            raise
        return PlanBinding(library, library.version(), None)


def check_validity(trt: Any, runtime: Any, plan: bytes, refusal: str, build_command: str) -> None:
    """Ask the library whether a plan can run on this machine, if it can say so. No plan is loaded for that.

    Args:
        trt: the library's package.
        runtime: its ``Runtime``, with a logger from :func:`log_of`.
        plan: the plan's content.
        refusal: the beginning of the error message.
        build_command: the command that builds the plan again.

    Raises:
        EngineError: this machine lacks a GPU that the library knows, or its memory, or a driver that is new enough.
        BundleError: the plan is of another version, or is damaged.
    """
    if not hasattr(runtime, "get_engine_validity"):
        return
    validity, reasons = runtime.get_engine_validity(plan)
    if validity != trt.EngineValidity.INVALID:
        return
    known = trt.EngineInvalidityDiagnostics
    found = [name for name, reason in known.__members__.items() if int(reasons) & int(reason)]
    said = f"{refusal}: {', '.join([*found, runtime.logger.said])}"
    if {"VERSION_MISMATCH", "MALFORMED_ENGINE"}.intersection(found):
        raise BundleError(f"{said}; build it here: {build_command}")
    raise EngineError(f"{said}; see nvidia-smi, or use another engine")


def log_of(trt: Any) -> Any:
    """A logger that prints nothing and keeps the last error for an error message."""
    errors = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said = "it does not say why"

        def log(self, severity: Any, message: str) -> None:
            if severity in errors:
                self.said = one_line(message).rstrip(".")

    return Log()


def _check_interface(trt: Any, engine: Any, name: str, profiles: int, hidden_size: int) -> list[str]:
    """The names of the outputs, after checking that inputs, outputs and profiles are as expected."""
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    inputs = {n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT}
    outputs = [n for n in names if n not in inputs]
    types = {n: engine.get_tensor_dtype(n) for n in names}
    right = (
        inputs == set(INPUTS)
        and SENTENCE_EMBEDDING in outputs
        and all(types[n] == (trt.DataType.INT64 if n in inputs else trt.DataType.FLOAT) for n in names)
        and tuple(engine.get_tensor_shape(SENTENCE_EMBEDDING))[1:] == (hidden_size,)
        and engine.num_optimization_profiles == profiles
    )
    if not right:
        found = ", ".join(f"{n} {types[n]} {tuple(engine.get_tensor_shape(n))}" for n in names)
        raise BundleError(
            f"expected {name} with int64 inputs {', '.join(INPUTS)}, float32 output {SENTENCE_EMBEDDING} "
            f"[batch, {hidden_size}] and {profiles} profiles, found {found} and "
            f"{engine.num_optimization_profiles}; build it again: lam-export trt"
        )
    return outputs
