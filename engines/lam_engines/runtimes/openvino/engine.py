"""OpenVINO: a second engine for CPUs."""

from shlex import quote
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ...bundles.bundle import Bundle
from ...contract import INLINED_MODEL, INPUTS, SENTENCE_EMBEDDING
from ...embedding.engine import EmbeddingEngine
from ...errors import BundleError, EngineError
from .library import check_bf16, compile_options, library, version_of
from .operators import check_operators, find_operators, graph_of

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest


class OpenVinoEngine(EmbeddingEngine):
    """Runs a bundle in OpenVINO on the CPU, in float32 or bfloat16.

    It runs ``model.onnx`` if it can use the native operator: the environment variable ``LAM_OPERATORS`` names the
    operator's library, and the bundle has the flat form with chunks of 128 tokens. Else it runs ``model.inlined.onnx``.

    It is thread-safe: one engine may serve many threads. One batch runs at a time, on all of the engine's threads.
    """

    def __init__(self, bundle: Bundle, *, precision: str = "fp32", threads: int | None = None) -> None:
        """Load the bundle's graph.

        Args:
            bundle: an open bundle, made with ``--inline`` unless the native operator is used.
            precision: ``fp32`` or ``bf16``. Both run the fp32 graph. In ``bf16`` OpenVINO rounds weights and values to
                bfloat16 where it gains by it; inputs and outputs are the same.
            threads: CPU threads; if left out, OpenVINO's default, one per physical core.

        Raises:
            EngineError: OpenVINO is missing or too old, the library of operators does not fit it, or the processor has
                no instructions for bfloat16.
            BundleError: the graph is missing, was altered, or cannot be loaded.
        """
        compiled = compile_graph(bundle, precision, threads)
        graph = graph_of(bundle)
        super().__init__(bundle, graph)
        _check_interface(compiled, graph, self.model.hidden_size)
        self._lock = Lock()
        self._request: InferRequest | None = compiled.create_infer_request()

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        arrays = map(np.ascontiguousarray, (input_ids, attention_mask))
        feed = dict(zip(INPUTS, arrays, strict=True))
        with self._lock:
            if self._request is None:
                raise EngineError("this engine is closed; load the bundle again: load_engine(BUNDLE, 'openvino')")
            try:
                # The inputs outlive the call. The outputs are copied, because the next call overwrites them.
                vectors: np.ndarray = self._request.infer(feed, share_inputs=True, share_outputs=False)[
                    SENTENCE_EMBEDDING
                ]
            except RuntimeError as error:
                rows, tokens = input_ids.shape
                raise EngineError(
                    f"OpenVINO failed on a batch of {rows} x {tokens} tokens: {_reason(error)}; if memory is short, "
                    f"lower batch_tokens or cut the longest texts"
                ) from None
        return vectors

    def close(self) -> None:
        with self._lock:
            self._request = None


def compile_graph(
    bundle: Bundle, precision: str, threads: int | None, *, profiling: bool = False
) -> "CompiledModel":
    """The graph that :class:`OpenVinoEngine` runs, with the native operator where it is used.

    Args:
        bundle: an open bundle.
        precision: as for :class:`OpenVinoEngine`.
        threads: as for :class:`OpenVinoEngine`.
        profiling: measure the time of each node.

    Raises:
        EngineError: OpenVINO is missing or too old, the library of operators does not fit it, or the processor has no
            instructions for bfloat16.
        BundleError: the graph is missing, was altered, or cannot be loaded.
    """
    operators, graph = find_operators(bundle), graph_of(bundle)
    if graph not in bundle.manifest.files:  # without the operator, OpenVINO needs a graph without local functions
        raise BundleError(
            f"expected {graph} in the bundle {bundle.path}, found none; make it again: lam-export onnx CHECKPOINT -o "
            f"{quote(str(bundle.path))} --inline --force"
        )
    openvino = library()
    if precision == "bf16":
        check_bf16()
    if operators is not None:
        check_operators(operators, version_of(openvino))
    content = bundle.read(graph)
    options = compile_options(threads, precision) | {openvino.properties.enable_profiling: profiling}
    try:
        core = openvino.Core()
        if operators is not None:
            core.add_extension(str(operators))
        return core.compile_model(core.read_model(content, b""), "CPU", options)
    except RuntimeError as error:
        raise BundleError(
            f"OpenVINO {version_of(openvino)} cannot load {graph}: {_reason(error)}; {_remedy(graph)}"
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
