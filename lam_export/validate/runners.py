"""Runners for Polygraphy's Comparator: the reference, the bundle's graphs, and any engine."""

import time
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import onnxruntime
import torch
from polygraphy.backend.base import BaseRunner
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
from polygraphy.common import TensorMetadata

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import (
    ATTENTION_MASK,
    INPUT_IDS,
    INPUTS,
    SENTENCE_EMBEDDING,
    STREAM_MODEL,
    TOKEN_EMBEDDINGS,
)
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.onnxruntime.recurrent_stream import RecurrentStream
from lam_engines.runtimes.onnxruntime.session import provider_of
from lam_export.model.encoder import Encoder


class ReferenceRunner(BaseRunner):
    """The PyTorch reference in float64 on the CPU. (Polygraphy's own PyTorch runner needs CUDA.)"""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(name="PyTorch float64")
        self._encoder = encoder.double()

    def get_input_metadata_impl(self) -> TensorMetadata:
        return _inputs()

    @torch.inference_mode()
    def infer_impl(self, feed_dict: Mapping[str, np.ndarray]) -> "OrderedDict[str, np.ndarray]":
        start = time.perf_counter()
        sentence, tokens = self._encoder(*(torch.from_numpy(np.ascontiguousarray(feed_dict[name])) for name in INPUTS))
        self.inference_time = time.perf_counter() - start
        return OrderedDict([(SENTENCE_EMBEDDING, sentence.numpy()), (TOKEN_EMBEDDINGS, tokens.numpy())])


class EngineRunner(BaseRunner):
    """An engine as it serves, with its checks, batches and padding. It gives only sentence embeddings."""

    def __init__(self, engine: EmbeddingEngine, name: str) -> None:
        super().__init__(name=f"{name} {engine.file}")
        self._engine = engine

    def get_input_metadata_impl(self) -> TensorMetadata:
        return _inputs()

    def infer_impl(self, feed_dict: Mapping[str, np.ndarray]) -> "OrderedDict[str, np.ndarray]":
        start = time.perf_counter()
        vectors = self._engine.embed_ids(*(feed_dict[name] for name in INPUTS))
        self.inference_time = time.perf_counter() - start
        return OrderedDict([(SENTENCE_EMBEDDING, vectors)])


class StreamRunner(BaseRunner):
    """A bundle's ``model.stream.onnx``, each text alone in windows of two chunks. It gives only sentence embeddings."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(name=f"ONNX Runtime {STREAM_MODEL}")
        self._chunk_size = bundle.manifest.chunk_size or 1
        self._stream = RecurrentStream(bundle, self._chunk_size, provider_of("cpu"), None)

    def get_input_metadata_impl(self) -> TensorMetadata:
        return _inputs()

    def infer_impl(self, feed_dict: Mapping[str, np.ndarray]) -> "OrderedDict[str, np.ndarray]":
        start = time.perf_counter()
        lengths = feed_dict[ATTENTION_MASK].sum(axis=1).tolist()
        texts = [ids[:length] for ids, length in zip(feed_dict[INPUT_IDS], lengths, strict=True)]
        vectors = np.stack([self._stream.embed([text], len(text), 2 * self._chunk_size) for text in texts])
        self.inference_time = time.perf_counter() - start
        return OrderedDict([(SENTENCE_EMBEDDING, vectors)])


def runner_from_graph(bundle: Bundle, graph: str) -> OnnxrtRunner:
    """ONNX Runtime on the CPU with one of the bundle's files, whose hash is checked."""
    onnxruntime.set_default_logger_severity(4)  # errors are raised, so they need not be logged too
    return OnnxrtRunner(SessionFromOnnx(bundle.read(graph), providers=["cpu"]), name=f"ONNX Runtime {graph}")


def _inputs() -> TensorMetadata:
    metadata = TensorMetadata()
    for name in INPUTS:
        metadata.add(name, np.int64, (None, None))
    return metadata
