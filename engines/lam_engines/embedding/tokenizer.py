"""Texts to token ids, with the tokenizer that travels in the bundle."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BundleError

if TYPE_CHECKING:
    from ..bundles.bundle import Bundle

# What every tokenizer must cope with: nothing, and characters that it has never seen.
_PROBE = ("", "a ж 東 🧿")
_BLOCK = 1 << 16
"""Characters of a piece that are tokenised at once."""
_GAPS = " \t\n\r"
"""Where a text may be cut: what Unicode and BERT alike take for white space, and nothing composes with. (BERT drops
other control characters, and what stands on either side of them is one word.)"""


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
        return self._encode(texts, add_special_tokens=True)

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        """The token ids of one text that comes in pieces: joined, they are ``encode(["".join(pieces)])[0]``.

        No more of the text is held than from one gap between words to the next, and some 64,000 characters. A text
        without a space, tab or line break is held whole, and so is every text if it cannot be known where this
        tokenizer splits: where it is not BERT's, or has an added token with a space inside.
        """
        around = self._around()
        if around is None:
            yield self.encode(["".join(pieces)])[0]
            return
        before, after = around
        yield before
        for text in _cut_in_gaps(pieces):
            yield from self._encode([text], add_special_tokens=False)
        yield after

    def _encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[np.ndarray]:
        def encoded(texts: Sequence[str]) -> list[np.ndarray]:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=add_special_tokens)
            return [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]

        try:
            return encoded(texts)
        except (UnicodeEncodeError, TypeError):
            return encoded([_without_surrogates(text) for text in texts])

    def _around(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The special tokens before and after every text; None if a text must not be cut.

        In BERT's steps each word is looked at by itself. What could reach over a gap is an added token with one in it,
        which is searched for in the text as it is or normalised.
        """
        from tokenizers import normalizers, pre_tokenizers, processors

        normalizer = self._tokenizer.normalizer
        bert = (
            isinstance(normalizer, normalizers.BertNormalizer | None)
            and isinstance(self._tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            and isinstance(
                self._tokenizer.post_processor, processors.BertProcessing | processors.TemplateProcessing | None
            )
        )
        if not bert:
            return None
        for token in self._tokenizer.get_added_tokens_decoder().values():
            content = token.content
            normal = content if normalizer is None else normalizer.normalize_str(content)
            if set(content + normal) & set(_GAPS):
                return None
        # Which of a text's tokens are its own, and which were put around it.
        encoding = self._tokenizer.encode(_PROBE[1])
        own = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence is not None]
        plain = self._encode([_PROBE[1]], add_special_tokens=False)[0]
        ids = np.asarray(encoding.ids, dtype=np.int64)
        if not own or not np.array_equal(ids[own[0] : own[-1] + 1], plain):
            return None
        return ids[: own[0]], ids[own[-1] + 1 :]


def _cut_in_gaps(pieces: Iterable[str]) -> Iterator[str]:
    """A text cut anew, so that every part but the last ends in one of :data:`_GAPS`."""
    held: list[str] = []
    size, enough = 0, _BLOCK
    for part in (piece[i : i + _BLOCK] for piece in pieces for i in range(0, len(piece), _BLOCK)):
        held.append(part)
        size += len(part)
        if size < enough:
            continue
        text = "".join(held)
        cut = 1 + max(text.rfind(gap) for gap in _GAPS)
        if cut:
            yield text[:cut]
        held = [text[cut:]]
        size = len(held[0])
        enough = max(_BLOCK, 2 * size)  # where there is no gap, the search must not begin anew for every part
    yield "".join(held)


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def tokenizer_of(bundle: "Bundle") -> Tokenizer:
    """A bundle's tokenizer.

    Raises:
        BundleError: it is missing, altered or none.
    """
    from ..contract import TOKENIZER

    return Tokenizer(bundle.read(TOKENIZER), bundle.manifest.model.vocab_size)
