"""Texts to token ids, with the tokenizer that travels in the bundle."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..contract import INPUTS, TOKENIZER
from ..errors import BundleError
from .texts import without_surrogates
from .tokenizer_file import checked

if TYPE_CHECKING:
    from ..bundles.bundle import Bundle

# Every tokenizer must accept these: the empty text, and characters that it may not know.
_PROBE = ("", "a ж 東 🧿")
LONGEST_ELSEWHERE = 1_000_000
"""Tokens after which tools of other people truncate. They demand a limit; this one is out of the way."""
_BERT_TOKENS = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
_BLOCK = 1 << 16
"""Characters of a text in pieces that are tokenised at once."""
_TOGETHER = 1 << 20
"""Characters of all texts that are tokenised at once. A character takes up to 200 bytes meanwhile."""
_GAPS = " \t\n\r"
"""Where a text may be cut. These are white space for Unicode and for BERT, and no character combines with them. (BERT
drops other control characters, and joins what stands on either side of them into one word.)"""


class Tokenizer:
    """The bundle's ``tokenizer.json``. It takes texts of any length and truncates none."""

    def __init__(self, content: bytes, vocab_size: int) -> None:
        """Read a tokenizer.

        Args:
            content: of ``tokenizer.json``.
            vocab_size: rows of the model's word embeddings. Every id must be below it.

        Raises:
            BundleError: the content is no tokenizer, has parts that BERT's have not, cannot encode every text, or its
                ids do not fit the model.
        """
        import tokenizers

        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(checked(content))
            probe = np.concatenate(self.encode(_PROBE))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library raises Exception, and panics, which derive from BaseException
            reason = " ".join(str(error).split())
            raise BundleError(
                f"{TOKENIZER} cannot be used by tokenizers {tokenizers.__version__} ({reason}); take the one that the "
                f"model was trained with"
            ) from None
        ids = {*self._tokenizer.get_vocab(with_added_tokens=True).values(), *probe.tolist()}
        if max(ids, default=0) >= vocab_size:
            raise BundleError(
                f"{TOKENIZER} gives ids up to {max(ids)}, but the model has {vocab_size} word embeddings; take the one "
                f"that the model was trained with"
            )

    def to_json(self) -> str:
        """The tokenizer as this class uses it: nothing truncated, nothing padded."""
        return self._tokenizer.to_str(pretty=False)

    def to_config(self, pad_token_id: int) -> str:
        """The content of ``tokenizer_config.json``, for tools that load models from the Hugging Face hub.

        Their default is to truncate at 512 tokens, and several refuse a tokenizer without a padding token or with a
        limit that fits no 64-bit integer.
        """
        known = self._tokenizer.token_to_id
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": LONGEST_ELSEWHERE,
            "model_input_names": list(INPUTS),
            "padding_side": "right",
            "truncation_side": "right",
            "clean_up_tokenization_spaces": False,
            "pad_token": self._tokenizer.id_to_token(pad_token_id) or self._tokenizer.id_to_token(0),
            **{role: token for role, token in _BERT_TOKENS.items() if known(token) is not None},
        }
        return json.dumps(config, indent=2) + "\n"

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """``[n]`` int64 token ids of each text, special tokens included.

        Lone surrogates are read as U+FFFD. Python's strings may hold them; Unicode texts do not.
        """
        found: list[np.ndarray] = []
        together: list[str] = []
        held = 0
        for text in texts:
            if together and held + len(text) > _TOGETHER:
                found += self._encode(together, add_special_tokens=True)
                together, held = [], 0
            if len(text) > _TOGETHER:
                found.append(np.concatenate(list(self.encode_pieces([text]))))
            else:
                together.append(text)
                held += len(text)
        return found + self._encode(together, add_special_tokens=True)

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        """The token ids of one text that comes in pieces. Joined, they are ``encode(["".join(pieces)])[0]``.

        About 64,000 characters of the text are held, and then up to the next gap between words. Two kinds of text are
        held whole: one without a space, tab or line break; and every text, if the tokenizer is not BERT's or has an
        added token with a space inside, because its gaps are then not known.
        """
        around = self._around()
        if around is None:
            yield self._encode(["".join(pieces)], add_special_tokens=True)[0]
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
            return encoded([without_surrogates(text) for text in texts])

    def _around(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The special tokens before and after every text; None if a text must not be cut.

        BERT's steps look at each word by itself. Only an added token with a gap inside could reach over a gap. Such a
        token is searched for in the text as it is, or in the normalised text.
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
        # Tell the text's own tokens from those that were put around it.
        encoding = self._tokenizer.encode(_PROBE[1])
        own = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence is not None]
        plain = self._encode([_PROBE[1]], add_special_tokens=False)[0]
        ids = np.asarray(encoding.ids, dtype=np.int64)
        if not own or not np.array_equal(ids[own[0] : own[-1] + 1], plain):
            return None
        return ids[: own[0]], ids[own[-1] + 1 :]


def _cut_in_gaps(pieces: Iterable[str]) -> Iterator[str]:
    """Cut a text so that every part but the last ends in one of :data:`_GAPS`."""
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
        enough = max(_BLOCK, 2 * size)  # without a gap: double, so that all searches together stay linear
    yield "".join(held)


def tokenizer_of(bundle: "Bundle") -> Tokenizer:
    """A bundle's tokenizer.

    Raises:
        BundleError: the file is missing, altered, or no tokenizer.
    """
    return Tokenizer(bundle.read(TOKENIZER), bundle.manifest.model.vocab_size)
