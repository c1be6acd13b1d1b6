"""The one noun for what is measured: something that embeds, not loaded yet."""

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
    """A bundle in a runtime, a checkpoint in PyTorch, or a transformer that one would run instead."""

    info: SubjectInfo
    load: Callable[[], EmbeddingEngine]
    """Picklable: it may be called in another process."""
    fingerprint: Callable[[], tuple[Any, ...]]
    """All that decides its embeddings beside the texts, as JSON can hold it."""
    thresholds: Thresholds | None = None
    """For its embeddings against the reference's; None if they are another model's."""
    transformer: Transformer | None = None
    shows_inner_values: bool = False
    """Whether ONNX Runtime computes its graph, which can show what a graph computes on its way."""
    truncates: bool = False
    """Whether it cuts texts off at its last position."""

    def key(self) -> str:
        """SHA-256 of the fingerprint: results under another key are not its results.

        Raises:
            LamError: something that decides its embeddings cannot be read.
        """
        return hashlib.sha256(json.dumps(self.fingerprint(), sort_keys=True).encode("ascii")).hexdigest()

    def refusal(self, shape: ShapeInfo) -> str:
        """Why it is not asked to do a piece of work; empty if it is."""
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
        """Caveat printed beside its figures; usually empty."""
        if self.transformer is None or shape.longest <= self.transformer.positions:
            return ""
        return f"cost alone: it knows {self.transformer.positions} positions, and its embedding means nothing"
