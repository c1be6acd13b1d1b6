"""Texts to token ids, with the tokenizer that travels in the bundle."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .errors import BundleError

if TYPE_CHECKING:
    from .bundle import Bundle

# What every tokenizer must cope with: nothing, and characters that it has never seen.
_PROBE = ("", "a ж 東 🧿")


class Tokenizer:
    """The bundle's ``tokenizer.json``: any text, of any length, without truncation."""

    def __init__(self, content: bytes, vocab_size: int) -> None:
        """Read a tokenizer.

        Args:
            content: of ``tokenizer.json``.
            vocab_size: rows of the model's word embeddings; every id must be below it.

        Raises:
            BundleError: it is no tokenizer, cannot encode every text, or its ids do not fit the model.
        """
        import tokenizers

        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
            probe = np.concatenate(self.encode(_PROBE))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library raises plain Exception, and panics, which are not even that
            reason = " ".join(str(error).split())
            raise BundleError(
                f"tokenizer.json cannot be used by tokenizers {tokenizers.__version__} ({reason}); take the one that "
                f"the model was trained with"
            ) from None
        ids = {*self._tokenizer.get_vocab(with_added_tokens=True).values(), *probe.tolist()}
        if max(ids, default=0) >= vocab_size:
            raise BundleError(
                f"tokenizer.json gives ids up to {max(ids)}, but the model has {vocab_size} word embeddings; take the "
                f"one that the model was trained with"
            )

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


def tokenizer_of(bundle: "Bundle") -> Tokenizer:
    """A bundle's tokenizer.

    Raises:
        BundleError: it is missing, altered or none.
    """
    from .bundle import TOKENIZER

    return Tokenizer(bundle.read(TOKENIZER), bundle.manifest.model.vocab_size)
