"""Time in OpenVINO, from its counters of nodes."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import ATTENTION_MASK, INPUT_IDS, SENTENCE_EMBEDDING
from lam_engines.runtimes.openvino.engine import OpenVinoGraph
from lam_engines.runtimes.openvino.operators import graph_of
from lam_export.anatomy.graph import places_of_nodes, spread
from lam_export.anatomy.nodes import Node
from lam_export.anatomy.parts import Place

from .samples import Run, Sample

_NORMS = ("MVN", "RMS")
"""Kinds of nodes into which OpenVINO turns norms, under names of its own."""


class OpenVinoRecorder:
    """The bundle's graph, compiled with counters but otherwise as the engine compiles it."""

    def __init__(self, bundle: Bundle, precision: str, threads: int) -> None:
        """Compile it.

        Args:
            bundle: an open bundle.
            precision: precision to compute in.
            threads: threads for each operator.
        """
        import onnx

        compiled = OpenVinoGraph(bundle, precision, threads).compile(profiling=True)
        graph = onnx.load_from_string(bundle.read(graph_of(bundle)))
        self._places = _places(compiled.get_runtime_model(), places_of_nodes(graph))
        self._request = compiled.create_infer_request()
        self._runs: list[Run] = []

    def record(self, input_ids: np.ndarray) -> np.ndarray:
        """Embed ``[B, L]`` int64 to ``[B, hidden]``, and record the run."""
        feed = {INPUT_IDS: input_ids, ATTENTION_MASK: np.ones_like(input_ids)}
        start = time.perf_counter()
        vectors: np.ndarray = self._request.infer(feed, share_inputs=True, share_outputs=False)[SENTENCE_EMBEDDING]
        seconds = time.perf_counter() - start
        samples = (
            Sample(info.node_name, info.node_type, self._places.get(info.node_name, Place("other")), took)
            for info in self._request.get_profiling_info()
            if (took := info.real_time.total_seconds())
        )
        self._runs.append(Run(seconds, tuple(samples)))
        return vectors

    def runs(self) -> list[Run]:
        """All recorded runs."""
        return self._runs


def _places(runtime: Any, known: dict[str, Place]) -> dict[str, Place]:
    """Name of each node of the compiled graph to its place.

    Args:
        runtime: the compiled graph. Each node names the original nodes that were fused into it.
        known: name of an original node to its place.
    """
    nodes: list[Node] = []
    places: dict[str, Place] = {}
    for op in runtime.get_ordered_ops():
        about, name = op.rt_info, op.get_friendly_name()
        kind = about["layerType"].astype(str)
        if kind != "Const":
            sources = tuple(value.get_node().get_friendly_name() for value in op.input_values())
            nodes.append(Node(name, "Shape" if kind == "ShapeOf" else kind, sources, (name,)))
            origins = about["originalLayersNames"].astype(str).split(",")
            if kind in _NORMS:
                places[name] = Place("norms", next((places[x].layer for x in sources if x in places), None))
            elif found := next((known[origin] for origin in origins if origin in known), None):
                places[name] = found
    return spread(nodes, places)


def recorder(bundle: Bundle, precision: str, threads: int, scratch: Path) -> OpenVinoRecorder:
    """The recorder that :func:`~lam_export.bench.profile.recorders.recorder.recorder_of` loads."""
    return OpenVinoRecorder(bundle, precision, threads)
