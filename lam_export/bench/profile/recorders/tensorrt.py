"""Time of a TensorRT plan, from TensorRT's profiler. This follows the documentation; it has not run yet."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.runtimes.tensorrt.engine import TensorRtEngine
from lam_engines.runtimes.tensorrt.library import TENSORRT
from lam_export.anatomy.graph import places_of_nodes
from lam_export.anatomy.parts import Place
from lam_export.export.tensorrt.graph import without_plugin
from lam_export.export.tensorrt.inspector import layer_name, onnx_nodes

from .samples import Run, Sample


class TensorRtRecorder(TensorRtEngine):
    """A bundle's plan whose every run reports its layers. It uses no CUDA graphs, which a profiler cannot see into."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        """Load the plan. The errors are the engine's."""
        import onnx

        super().__init__(bundle, TENSORRT, precision=precision)
        graph = onnx.load_from_string(bundle.read(self._plan.graph))
        known = places_of_nodes(graph if self._plan.plugin else without_plugin(graph))
        inspector = "" if self._plan.inspector is None else bundle.read(self._plan.inspector).decode("utf-8")
        self._places = layer_places(inspector, known)
        self._report = _report()
        self._runs: list[Run] = []

    def record(self, input_ids: np.ndarray) -> np.ndarray:
        """Embed ``[B, L]`` int64 to ``[B, hidden]``, and record the run."""
        self._report.layers.clear()
        start = time.perf_counter()
        vectors = self.embed_ids(input_ids)
        seconds = time.perf_counter() - start
        samples = (
            Sample(f"{i} {name}", "kernel", self._places.get(layer_name(name), Place("other")), milliseconds / 1e3)
            for i, (name, milliseconds) in enumerate(self._report.layers)
        )
        self._runs.append(Run(seconds, tuple(samples)))
        return vectors

    def runs(self) -> list[Run]:
        """All recorded runs."""
        return self._runs

    def _run(self, shape: Any) -> None:
        shape.context.profiler = self._report
        self._succeeded(shape.context.execute_async_v3(self._stream.handle))
        self._stream.wait()


def layer_places(inspector: str, known: Mapping[str, Place]) -> dict[str, Place]:
    """Name of each layer of a plan to its place. A layer that was fused from several parts has no place.

    Args:
        inspector: the engine inspector's JSON.
        known: name of a node of the graph to its place.
    """
    found = {}
    for layer, nodes in onnx_nodes(inspector).items():
        places = {known[node] for node in nodes if node in known}
        if len({place.part for place in places}) == 1:
            found[layer] = min(places, key=lambda place: -1 if place.layer is None else place.layer)
    return found


def _report() -> Any:
    trt = TENSORRT.module()

    class Report(trt.IProfiler):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.layers: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.layers.append((layer_name, ms))

    return Report()


def recorder(bundle: Bundle, precision: str, threads: int, scratch: Path) -> TensorRtRecorder:
    """The recorder that :func:`~lam_export.bench.profile.recorders.recorder.recorder_of` loads."""
    return TensorRtRecorder(bundle, precision)
