"""Time in ONNX Runtime, from its own profiler."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.runtimes.onnxruntime.engine import OnnxRuntimeEngine
from lam_engines.runtimes.onnxruntime.session import provider_of, session_options
from lam_export.anatomy.arithmetic import operations
from lam_export.anatomy.graph import node_places, places_of
from lam_export.anatomy.nodes import nodes_of
from lam_export.anatomy.parts import Place
from lam_export.export.graphs import with_named_functions

from .samples import Run, Sample

if TYPE_CHECKING:
    from onnx import ModelProto

_NODE, _CALL, _SUFFIX = "Node", "model_run", "_kernel_time"


class OnnxRuntimeRecorder(OnnxRuntimeEngine):
    """The engine, with a session that records the time of every operator.

    The graph is the bundle's, but values inside the fused operators have names that tell the layer. ONNX Runtime
    optimises it in the same way as the bundle's graph.
    """

    def __init__(self, bundle: Bundle, precision: str, threads: int, scratch: Path) -> None:
        """Load it.

        Args:
            bundle: an open bundle.
            precision: precision of the graph.
            threads: threads for each operator.
            scratch: an empty folder for the optimised graph and the record.
        """
        import onnx
        import onnxruntime

        super().__init__(bundle, precision=precision, threads=threads)
        model = with_named_functions(onnx.load_from_string(bundle.read(self.file)))
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(scratch / "record")
        options.optimized_model_filepath = str(scratch / "optimised.onnx")
        graph = model.SerializeToString()
        self._recorded: Any = onnxruntime.InferenceSession(graph, options, providers=[provider_of("cpu")])
        self._session = self._recorded
        self._stream = None  # so that long texts go through the recorded graph too
        self._places = _Places(model, onnx.load(scratch / "optimised.onnx"))
        self._calls = 0
        self._taken: list[tuple[float, int]] = []

    def record(self, input_ids: np.ndarray) -> np.ndarray:
        """Embed ``[B, L]`` int64 to ``[B, hidden]``, and record the run."""
        start, before = time.perf_counter(), self._calls
        vectors = self.embed_ids(input_ids)
        self._taken.append((time.perf_counter() - start, self._calls - before))
        return vectors

    def runs(self) -> list[Run]:
        """All recorded runs. No run can be recorded afterwards."""
        events = json.loads(Path(self._recorded.end_profiling()).read_text(encoding="utf-8"))
        calls = _calls(events, self._places)
        # A long text takes several calls of the graph.
        return [
            Run(seconds, tuple(replace(s, name=f"{i} {s.name}") for i in range(count) for s in next(calls)))
            for seconds, count in self._taken
        ]

    def _run(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        self._calls += 1
        return super()._run(feed)


class _Places:
    """Finds the place of a node by its name in the record."""

    def __init__(self, exported: "ModelProto", optimised: "ModelProto") -> None:
        nodes = nodes_of(optimised.graph.node)
        self._named: dict[str, Place] = {}
        self._unnamed: dict[str, list[Place]] = defaultdict(list)
        for node, place in zip(nodes, node_places(nodes, places_of(exported)), strict=True):
            if node.name:
                self._named[node.name] = place
            else:
                self._unnamed[node.kind].append(place)

    def of_call(self) -> Callable[[str, str], Place]:
        """A function of a node's name and kind. It must be called with the nodes of one call, in order.

        The profiler invents names for nodes that have none. Such nodes of one kind run in the order of the graph.
        """
        unnamed = {kind: iter(places) for kind, places in self._unnamed.items()}

        def place(name: str, kind: str) -> Place:
            return self._named.get(name) or next(unnamed.get(kind, iter(())), Place("other"))

        return place


def _calls(events: list[dict[str, Any]], places: _Places) -> Iterator[list[Sample]]:
    """The operators that ran in each call of the graph, in order."""
    nodes = [event for event in events if event["cat"] == _NODE and event["name"].endswith(_SUFFIX)]
    for whole in (event for event in events if event["name"] == _CALL):
        start, end = whole["ts"], whole["ts"] + whole["dur"]
        place_of = places.of_call()
        yield [_sample(event, place_of) for event in nodes if start <= event["ts"] <= end]


def _sample(event: dict[str, Any], place_of: Callable[[str, str], Place]) -> Sample:
    name, kind, about = event["name"].removesuffix(_SUFFIX), event["args"]["op_name"], event["args"]
    inputs, outputs = (
        [next(iter(tensor.values())) for tensor in about[key]] for key in ("input_type_shape", "output_type_shape")
    )
    return Sample(name, kind, place_of(name, kind), event["dur"] / 1e6, operations(kind, inputs, outputs))


def recorder(bundle: Bundle, precision: str, threads: int, scratch: Path) -> OnnxRuntimeRecorder:
    """The recorder that :func:`~lam_export.bench.profile.recorders.recorder.recorder_of` loads."""
    return OnnxRuntimeRecorder(bundle, precision, threads, scratch)
