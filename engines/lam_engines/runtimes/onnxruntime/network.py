"""ONNX Runtime on the CPU without the rest of this package; see :class:`~lam_engines.runtimes.portable.Portable`."""

from pathlib import Path

import numpy as np

from ...contract import INPUTS, MODEL, SENTENCE_EMBEDDING
from ...machine import processors
from ...telemetry import disable_telemetry


class OnnxRuntimeNetwork:
    """A graph in ONNX Runtime. Several threads may run it at once."""

    def __init__(self, graph: Path, threads: int) -> None:
        disable_telemetry()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # ONNX Runtime would keep a plan of memory for every shape that it has seen, and lengths vary without end.
        options.enable_mem_pattern = False
        options.intra_op_num_threads = threads
        # Threads that spin while they wait would take processor time from the server and the tokenizer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        feed = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        vectors: np.ndarray = self._session.run([SENTENCE_EMBEDDING], feed)[0]
        return vectors

    def max_batch(self, tokens: int) -> int | None:
        return None


def load(folder: Path, precision: str, threads: int | None, workers: int) -> OnnxRuntimeNetwork:
    """Load ``model.onnx``, whose precision is its own."""
    # A worker's own thread is one of the network's: workers and threads together use every processor.
    return OnnxRuntimeNetwork(folder / MODEL, threads or max(1, processors() + 1 - workers))
