"""Any function of token ids behind the engines' interface: same batches, same tokens, same checks."""

from collections.abc import Callable

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import EngineError

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``input_ids`` and ``attention_mask``, ``[B, L]`` int64 each, to ``[B, hidden]``."""


class FunctionEngine(EmbeddingEngine):
    """A function as an engine, with the tokenizer of a bundle."""

    def __init__(self, bundle: Bundle, file: str, function: Embed, name: str) -> None:
        """Take the function.

        Args:
            bundle: whose tokenizer and sizes it shares.
            file: what it was loaded from.
            function: embeds a batch. What it raises becomes an EngineError.
            name: for messages.
        """
        super().__init__(bundle, file)
        self._function: Embed | None = function
        self._name = name

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        if self._function is None:
            raise EngineError(f"{self._name} is closed; load it again")
        try:
            return self._function(input_ids, attention_mask)
        except Exception as error:  # a runtime's, or a compiler's
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            rows, tokens = input_ids.shape
            raise EngineError(
                f"{self._name} failed on a batch of {rows} x {tokens} tokens: {reason[:300]}; if memory is short, cut "
                f"the longest texts"
            ) from None

    def close(self) -> None:
        self._function = None
