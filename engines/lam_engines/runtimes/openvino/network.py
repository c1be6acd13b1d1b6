"""OpenVINO on the CPU without the rest of this package; see :class:`~lam_engines.runtimes.portable.Portable`."""

from pathlib import Path
from threading import Lock

import numpy as np

from ...contract import INPUTS, MODEL
from .library import check_bf16, compile_options, compute_in_bf16, core, infer, library

OPERATORS_FILE = "operators.so"
"""The library of native operators, if the graph has nodes of it."""


class OpenVinoNetwork:
    """A graph in OpenVINO. One batch runs at a time, on all threads."""

    def __init__(self, folder: Path, precision: str, threads: int | None) -> None:
        if precision == "bf16":
            check_bf16()
        reader = library().Core()
        if (folder / OPERATORS_FILE).exists():
            reader.add_extension(str(folder / OPERATORS_FILE))
        graph = reader.read_model(str(folder / MODEL))
        if precision == "bf16":
            compute_in_bf16(graph)
        self._request = core().compile_model(graph, "CPU", compile_options(threads, precision)).create_infer_request()
        self._lock = Lock()

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        with self._lock:
            return infer(self._request, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))

    def max_batch(self, tokens: int) -> int | None:
        return None


def load(folder: Path, precision: str, threads: int | None, workers: int) -> OpenVinoNetwork:
    """Load ``model.onnx``. While one worker computes, the others prepare and answer."""
    return OpenVinoNetwork(folder, precision, threads)
