"""OpenVINO on the CPU without the rest of this package; see :class:`~lam_engines.runtimes.portable.Portable`."""

from pathlib import Path
from typing import Any

import numpy as np

from ...contract import INPUTS, MODEL
from ...machine import processors
from .library import check_bf16, compile_options, compute_in_bf16, core, infer, library
from .requests import Requests

OPERATORS_FILE = "operators.so"
"""The library of native operators, if the graph has nodes of it."""


class OpenVinoNetwork:
    """A graph in OpenVINO. Batches run beside each other, each on its share of the threads; one alone has them all."""

    def __init__(self, folder: Path, precision: str, threads: int | None, workers: int) -> None:
        if precision == "bf16":
            check_bf16()
        reader = library().Core()
        if (folder / OPERATORS_FILE).exists():
            reader.add_extension(str(folder / OPERATORS_FILE))
        graph = reader.read_model(str(folder / MODEL))
        if precision == "bf16":
            compute_in_bf16(graph)

        def compiled(streams: int) -> Any:
            return core().compile_model(graph, "CPU", compile_options(threads, precision, streams))

        self._requests = Requests(compiled(1))
        shares = min(workers, threads or processors())
        if shares > 1:
            self._requests.share(compiled(shares), shares)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        with self._requests.taken() as request:
            return infer(request, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))

    def max_batch(self, tokens: int) -> int | None:
        return None


def load(folder: Path, precision: str, threads: int | None, workers: int) -> OpenVinoNetwork:
    """Load ``model.onnx``, for so many workers that compute."""
    return OpenVinoNetwork(folder, precision, threads, workers)
