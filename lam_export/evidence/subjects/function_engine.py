"""Any function of token ids as an engine, with the same batches, tokens and checks as the other engines."""

from collections.abc import Callable

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import EngineError, first_line

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A function of ``input_ids`` and ``attention_mask``, ``[B, L]`` int64 each, that gives ``[B, hidden]``."""


class FunctionEngine(EmbeddingEngine):
    """A function as an engine, with the tokenizer of a bundle."""

    def __init__(self, bundle: Bundle, file: str, function: Embed, name: str) -> None:
        """Take the function.

        Args:
            bundle: the bundle whose tokenizer and sizes are used.
            file: name of the file that the function was loaded from.
            function: embeds a batch. Every error that it raises becomes an EngineError.
            name: name of the engine in messages.
        """
        super().__init__(bundle, file)
        self._function: Embed | None = function
        self._name = name

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        if self._function is None:
            raise EngineError(f"{self._name} is closed; load it again")
        try:
            return self._function(input_ids, attention_mask)
        except Exception as error:  # a runtime or a compiler may raise anything
            rows, tokens = input_ids.shape
            raise EngineError(
                f"{self._name} failed on a batch of {rows} x {tokens} tokens: {first_line(error)}; if memory is "
                f"short, cut the longest texts"
            ) from None

    def close(self) -> None:
        self._function = None
