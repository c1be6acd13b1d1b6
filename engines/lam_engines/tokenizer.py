"""Texts to token ids, with the tokenizer that travels in the bundle."""

from collections.abc import Sequence

import numpy as np

from .errors import BundleError


class Tokenizer:
    """The bundle's ``tokenizer.json``: any text, of any length, without truncation."""

    def __init__(self, content: bytes, vocab_size: int) -> None:
        """Read a tokenizer.

        Args:
            content: of ``tokenizer.json``.
            vocab_size: rows of the model's word embeddings; every id must be below it.

        Raises:
            BundleError: it is no tokenizer, or its ids do not fit the model.
        """
        import tokenizers

        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
        except Exception as error:  # the library raises plain Exception for all of its parse errors
            raise BundleError(
                f"tokenizer.json cannot be read by tokenizers {tokenizers.__version__} ({error})"
            ) from None
        ids = self._tokenizer.get_vocab(with_added_tokens=True).values()
        if max(ids, default=0) >= vocab_size:
            raise BundleError(
                f"tokenizer.json gives ids up to {max(ids)}, but the model has {vocab_size} word embeddings: "
                f"they do not belong together"
            )
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def to_json(self) -> str:
        """The tokenizer as this class uses it: nothing truncated, nothing padded."""
        return self._tokenizer.to_str(pretty=False)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """``[n]`` int64 token ids of each text, special tokens included.

        Lone surrogates, which no Unicode text holds but Python's strings may, are read as U+FFFD.
        """
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        except (UnicodeEncodeError, TypeError):
            encodings = self._tokenizer.encode_batch_fast([_without_surrogates(text) for text in texts])
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
