"""The two methods that an engine needs."""

import numpy as np

from ...bundles.bundle import Bundle
from ...contract import INPUTS, SENTENCE_EMBEDDING
from ...embedding.engine import EmbeddingEngine
from ...errors import EngineError


class ToyEngine(EmbeddingEngine):
    """A graph, node by node as it stands in the file."""

    def __init__(self, bundle: Bundle, file: str, threads: int | None) -> None:
        import onnxruntime

        super().__init__(bundle, file)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads or 0
        content = bundle.read(file)
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        if self._session is None:
            raise EngineError("this engine is closed; load the bundle again: load_engine(BUNDLE, 'toy')")
        feed = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        vectors: np.ndarray = self._session.run([SENTENCE_EMBEDDING], feed)[0]
        return vectors

    def close(self) -> None:
        self._session = None
