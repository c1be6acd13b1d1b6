"""OpenVINO: a second engine for CPUs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np

from ...bundles.bundle import Bundle
from ...contract import INLINED_MODEL, INPUTS, SENTENCE_EMBEDDING, WINDOW
from ...embedding.engine import EmbeddingEngine
from ...embedding.long_texts import WINDOW_TOKENS, flat_embedding
from ...errors import BundleError, EngineError
from ...machine import processors
from .library import check_bf16, compile_options, compute_in_bf16, core, infer, library, version_of
from .operators import check_operators, find_operators, graph_of
from .requests import Requests

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest

_SHARED_MAX_PADDING = 20
"""For ``max_padding``: a batch's fixed cost on one thread."""


class OpenVinoEngine(EmbeddingEngine):
    """Runs a bundle in OpenVINO on the CPU, in float32 or bfloat16.

    It runs ``model.onnx`` if it can use the native operator: the package ``lam-operators`` is installed, or the
    environment variable ``LAM_OPERATORS`` names its library, and the bundle has the flat form with chunks of 128
    tokens. Else it runs ``model.inlined.onnx``.

    Long texts of the flat form go through the graph in windows, as in ONNX Runtime. The graph is compiled once more for
    that, at the first long text.

    It is thread-safe: one engine may serve many threads. One batch runs at a time, on all threads. After
    :meth:`share`, batches run beside each other.
    """

    def __init__(self, bundle: Bundle, *, precision: str = "fp32", threads: int | None = None) -> None:
        """Load the bundle's graph.

        Args:
            bundle: an open bundle, made with ``--inline`` unless the native operator is used.
            precision: ``fp32`` or ``bf16``. Both run the fp32 graph. In ``bf16`` OpenVINO rounds weights and values to
                bfloat16 where it gains by it; inputs and outputs are the same.
            threads: CPU threads; if left out, one per physical core, or as many as the container has.

        Raises:
            EngineError: OpenVINO is missing or too old, the library of operators does not fit it, or the processor has
                no instructions for bfloat16.
            BundleError: the graph is missing, was altered, or cannot be loaded.
        """
        self._graph = OpenVinoGraph(bundle, precision, threads)
        compiled = self._graph.compile()
        super().__init__(bundle, graph_of(bundle))
        _check_interface(compiled, self.file, self.model.hidden_size)
        self._requests = Requests(compiled)
        self._windowed: InferRequest | None = None

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        long = self._in_windows() if input_ids.shape[1] > WINDOW_TOKENS else None
        if long is None:
            return self._run(dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        lengths = attention_mask.sum(axis=1).tolist()
        return np.stack([long([ids[:n]], n) for ids, n in zip(input_ids, lengths, strict=True)])

    def _in_windows(self) -> Callable[[Iterable[np.ndarray], int], np.ndarray] | None:
        """A function that embeds one text of any length in windows; None if the bundle cannot do that."""
        manifest = self.bundle.manifest
        if manifest.form != "flat" or manifest.chunk_size is None:
            return None
        return partial(flat_embedding, self._run, chunk_size=manifest.chunk_size, model=self.model)

    def _streamer(self) -> Callable[[Iterable[np.ndarray], int], np.ndarray]:
        return self._in_windows() or super()._streamer()

    def share(self, calls: int) -> int:
        calls = min(calls, self._graph.threads or processors())
        if calls > 1:
            self.max_padding = _SHARED_MAX_PADDING
            self._requests.share(self._graph.compile(streams=calls), calls)
        return calls

    def _run(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        with self._request_for(feed) as request:
            try:
                return infer(request, feed)
            except RuntimeError as error:
                rows, tokens = feed[INPUTS[0]].shape
                raise EngineError(
                    f"OpenVINO failed on a batch of {rows} x {tokens} tokens: {_reason(error)}; if memory is short, "
                    f"lower batch_tokens or cut the longest texts"
                ) from None

    @contextmanager
    def _request_for(self, feed: Mapping[str, np.ndarray]) -> "Iterator[InferRequest]":
        """What runs a batch. Windows of long texts have a graph of their own, and all threads."""
        windowed = WINDOW in feed
        with self._requests.taken(whole=windowed) as request:
            if request is None:
                raise EngineError("this engine is closed; load the bundle again: load_engine(BUNDLE, 'openvino')")
            if windowed:
                self._windowed = self._windowed or self._graph.compile(windowed=True).create_infer_request()
            yield self._windowed if windowed else request

    def close(self) -> None:
        self._requests.close()
        self._windowed = None
        self._graph.close()


class OpenVinoGraph:
    """The graph that :class:`OpenVinoEngine` runs, with the native operator where it is used.

    It may be compiled in several ways. They share the weights that OpenVINO keeps as they are.
    """

    def __init__(self, bundle: Bundle, precision: str, threads: int | None) -> None:
        """Read a bundle's graph. Arguments are those of :class:`OpenVinoEngine`.

        Raises:
            EngineError: OpenVINO is missing or too old, the library of operators does not fit it, or the processor has
                no instructions for bfloat16.
            BundleError: the graph is missing, was altered, or cannot be loaded.
        """
        operators, self.file = find_operators(bundle).path, graph_of(bundle)
        if self.file not in bundle.manifest.files:  # without the operator, no local functions are known
            raise BundleError(
                f"expected {self.file} in the bundle {bundle.path}, found none; make it again: lam-export onnx "
                f"CHECKPOINT -o {quote(str(bundle.path))} --inline --force"
            )
        with ThreadPoolExecutor(1) as reader:  # reading and hashing take as long as the import
            reading = reader.submit(bundle.read, self.file)
            openvino = library()
            if precision == "bf16":
                check_bf16()
            if operators is not None:
                check_operators(operators, version_of(openvino))
            content = reading.result()
        self.threads, self.precision = threads, precision
        with self._errors():
            reader = openvino.Core()
            if operators is not None:
                reader.add_extension(str(operators))
            self._model: Any = reader.read_model(content, b"")
            if precision == "bf16":
                compute_in_bf16(self._model)

    def compile(self, *, profiling: bool = False, windowed: bool = False, streams: int = 1) -> "CompiledModel":
        """Make it run.

        Args:
            profiling: measure the time of each node.
            windowed: make the constant ``window`` of a graph of the flat form an input.
            streams: batches that run at the same time, each on its share of the threads.

        Raises:
            BundleError: OpenVINO cannot compile it.
        """
        openvino = library()
        options = compile_options(self.threads, self.precision, streams)
        options[openvino.properties.enable_profiling] = profiling
        with self._errors():
            model = self._model
            if windowed:
                model = model.clone()
                (window,) = (node for node in model.get_ops() if node.get_friendly_name() == WINDOW)
                value = openvino.opset1.parameter(window.output(0).partial_shape, openvino.Type.i64, name=WINDOW)
                value.output(0).set_names({WINDOW})
                window.output(0).replace(value.output(0))
                model.add_parameters([value])
            compiled: CompiledModel = core().compile_model(model, "CPU", options)
            return compiled

    def close(self) -> None:
        """Give back the weights."""
        self._model = None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise BundleError(
                f"OpenVINO {version_of(library())} cannot load {self.file}: {_reason(error)}; {_remedy(self.file)}"
            ) from None


def _check_interface(compiled: "CompiledModel", graph: str, hidden_size: int) -> None:
    inputs = {name for value in compiled.inputs for name in value.names}
    outputs = {name: str(value.partial_shape) for value in compiled.outputs for name in value.names}
    if inputs != set(INPUTS) or outputs.get(SENTENCE_EMBEDDING) != f"[?,{hidden_size}]":
        raise BundleError(
            f"expected {graph} with inputs {', '.join(INPUTS)} and output {SENTENCE_EMBEDDING} [?,{hidden_size}], "
            f"found inputs {', '.join(sorted(inputs))} and outputs {outputs}; {_remedy(graph)}"
        )


def _remedy(graph: str) -> str:
    return "make the bundle again: lam-export onnx" + (" --inline" if graph == INLINED_MODEL else "")


def _reason(error: Exception) -> str:
    """What went wrong, without the places in OpenVINO's source code that begin its messages."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from ", "Check '"))]
    return (said or lines or [type(error).__name__])[0][:300]
