"""Runners for Polygraphy's Comparator: the reference, the bundle's graphs, and any engine."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

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


class FunctionRunner(BaseRunner):
    """A function of an encoder's inputs, by name, that gives its outputs by name."""

    def __init__(self, name: str, function: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
        super().__init__(name=name)
        self._function = function

    def get_input_metadata_impl(self) -> TensorMetadata:
        metadata = TensorMetadata()
        for name in INPUTS:
            metadata.add(name, np.int64, (None, None))
        return metadata

    def infer_impl(self, feed_dict: Mapping[str, np.ndarray]) -> "OrderedDict[str, np.ndarray]":
        start = time.perf_counter()
        outputs = OrderedDict(self._function(feed_dict))
        self.inference_time = time.perf_counter() - start
        return outputs


def runner_from_encoder(encoder: Encoder) -> FunctionRunner:
    """The PyTorch reference in float64 on the CPU. (Polygraphy's own PyTorch runner needs CUDA.)"""
    encoder.double()

    @torch.inference_mode()
    def infer(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        sentence, tokens = encoder(*(torch.from_numpy(np.ascontiguousarray(feed[name])) for name in INPUTS))
        return {SENTENCE_EMBEDDING: sentence.numpy(), TOKEN_EMBEDDINGS: tokens.numpy()}

    return FunctionRunner("PyTorch float64", infer)


def runner_from_engine(engine: EmbeddingEngine, name: str) -> FunctionRunner:
    """An engine as it serves, with its checks, batches and padding. It gives only sentence embeddings."""

    def infer(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {SENTENCE_EMBEDDING: engine.embed_ids(*(feed[name] for name in INPUTS))}

    return FunctionRunner(f"{name} {engine.file}", infer)


def runner_from_stream(bundle: Bundle) -> FunctionRunner:
    """A bundle's ``model.stream.onnx``, each text alone in windows of two chunks. It gives only sentence embeddings."""
    chunk_size = bundle.manifest.chunk_size or 1
    stream = RecurrentStream(bundle, chunk_size, provider_of("cpu"), None)

    def infer(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        lengths = feed[ATTENTION_MASK].sum(axis=1).tolist()
        texts = [ids[:length] for ids, length in zip(feed[INPUT_IDS], lengths, strict=True)]
        return {SENTENCE_EMBEDDING: np.stack([stream.embed([text], len(text), 2 * chunk_size) for text in texts])}

    return FunctionRunner(f"ONNX Runtime {STREAM_MODEL}", infer)


def runner_from_graph(bundle: Bundle, graph: str) -> OnnxrtRunner:
    """ONNX Runtime on the CPU with one of the bundle's files, whose hash is checked."""
    onnxruntime.set_default_logger_severity(4)  # errors are raised, so they need not be logged too
    return OnnxrtRunner(SessionFromOnnx(bundle.read(graph), providers=["cpu"]), name=f"ONNX Runtime {graph}")
