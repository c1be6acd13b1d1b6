"""A subject is what is measured: something that embeds texts and is not loaded yet."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.machine import available_memory

from .metrics import Thresholds
from .schema import ShapeInfo, SubjectInfo
from .transformer import Transformer


@dataclass(frozen=True)
class Subject:
    """A bundle in a runtime, a checkpoint in PyTorch, or a transformer for comparison."""

    info: SubjectInfo
    load: Callable[[], EmbeddingEngine]
    """Loads the subject. It can be pickled, because it may be called in another process."""
    fingerprint: Callable[[], tuple[Any, ...]]
    """Everything except the texts that decides the embeddings, as values that JSON can hold."""
    thresholds: Thresholds | None = None
    """Limits for the difference from the reference; None for another model, which is not compared."""
    transformer: Transformer | None = None
    """The transformer, if the subject is one."""
    shows_inner_values: bool = False
    """Whether the runtime can show the values inside the graph, as ONNX Runtime can."""
    truncates: bool = False
    """Whether the subject cuts texts off at its last position."""

    def key(self) -> str:
        """SHA-256 of the fingerprint. Cached results of another key are not this subject's.

        Raises:
            LamError: something that decides the embeddings cannot be read.
        """
        return hashlib.sha256(json.dumps(self.fingerprint(), sort_keys=True).encode("ascii")).hexdigest()

    def refusal(self, shape: ShapeInfo) -> str:
        """Why the subject cannot do a piece of work; empty if it can."""
        if self.transformer is None:
            return ""
        if self.truncates and shape.longest > self.transformer.positions:
            return f"cuts texts off at {self.transformer.positions} tokens"
        if shape.kind != "mix":
            needed, left = self.transformer.attention_bytes(shape.texts, shape.longest), available_memory()
            if left is not None and needed > left / 2:
                return f"attention would take {needed / 1e9:,.0f} GB for one layer"
        return ""

    def remark(self, shape: ShapeInfo) -> str:
        """Caveat printed beside the subject's figures; usually empty."""
        if self.transformer is None or shape.longest <= self.transformer.positions:
            return ""
        return f"cost only: the embedding is meaningless past the transformer's {self.transformer.positions} positions"
