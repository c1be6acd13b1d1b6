"""The one interface of all engines: texts in, unit-length embeddings out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral

import numpy as np

from ..bundles.bundle import Bundle
from ..errors import EngineError, InputError
from .batching import DEFAULT_BATCH_TOKENS, MAX_PADDING, batches, pad, windows
from .streaming import counted, token_pieces
from .tokenizer import tokenizer_of

Progress = Callable[[int], None]
"""Called with the number of texts that were embedded since the last call."""


class EmbeddingEngine(ABC):
    """A bundle loaded into a runtime. An embedding depends on its own text alone, not on the texts beside it."""

    default_batch_tokens: int = DEFAULT_BATCH_TOKENS
    """Tokens that go through the model at once, padding counted, where the caller does not say."""

    max_padding: int = MAX_PADDING
    """Tokens of padding in a batch at most: with more, two batches are faster."""

    def __init__(self, bundle: Bundle, file: str) -> None:
        self.bundle = bundle
        self.file = file
        """The one of the bundle's files that is run."""
        self.model = bundle.manifest.model
        self.tokenizer = tokenizer_of(bundle)

    @abstractmethod
    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Checked ``[B, L]`` int64 inputs, B and L at least 1, to ``[B, hidden]`` float32."""

    @abstractmethod
    def close(self) -> None:
        """Give back the runtime's memory. The engine cannot be used afterwards."""

    def _streamer(self) -> Callable[[Iterable[np.ndarray], int], np.ndarray]:
        """What embeds the pieces of a text's checked ids, so many in all, in constant memory: to ``[hidden]``.

        Raises:
            EngineError: this engine cannot; says what can.
        """
        raise EngineError(
            f"expected the engine onnxruntime, which takes a text in pieces, found {self.file} in another; load it so: "
            f"load_engine(BUNDLE)"
        )

    @property
    def max_tokens(self) -> int | None:
        """The longest text that the engine takes; None: any."""
        return None

    def _max_batch(self, tokens: int) -> int | None:
        """How many texts of so many tokens the runtime takes at once; None: any number.

        Raises:
            InputError: none, they are too long.
        """
        return None

    def embed(
        self, texts: Sequence[str], *, batch_tokens: int | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """Embed texts of any length, in any number.

        Args:
            texts: any Unicode, the empty text too.
            batch_tokens: at most this many tokens, padding counted, go through the model at once;
                :attr:`default_batch_tokens` if left out.
            progress: told of every batch that is done.

        Returns:
            ``[len(texts), hidden]`` float32 of unit length, in the order of ``texts``.

        Raises:
            InputError: ``texts`` is one string, or holds something that is none, or a text longer than
                :attr:`max_tokens`; or ``batch_tokens`` is below 1.
            EngineError: the engine is closed, or memory does not suffice.
        """
        return self._embed(_checked_texts(texts), batch_tokens=batch_tokens, batch_size=None, progress=progress)

    def embed_many(
        self, texts: Iterable[str], *, batch_tokens: int | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """Embed more texts than fit into memory.

        Takes texts as they are needed and yields them window by window, in order, each with its embeddings
        ``[n, hidden]``. Arguments and errors as for :meth:`embed`.
        """
        _check_collection(texts)
        for window in windows(texts):
            yield window, self.embed(window, batch_tokens=batch_tokens, progress=progress)

    def embed_stream(self, pieces: Iterable[str] | Iterable[np.ndarray], *, tokens: int | None = None) -> np.ndarray:
        """Embed one text of any length that comes in pieces, as :meth:`embed` does the whole, in constant memory.

        Token ids go through the model in windows, which are read from ``pieces`` as they are needed. But where in the
        position table a token of a long text looks depends on the length of the text. So without ``tokens`` there are
        two passes: first all is tokenised and kept in a temporary file (4 bytes a token, without a name, in the folder
        that TMPDIR names), then it is embedded.

        Args:
            pieces: of one text, in order: strings, such as the lines of an open file, or rows of token ids, special
                tokens included. They may be cut anywhere. No piece at all is the empty text. A text without a space,
                tab or line break is held whole, and so is every text where the bundle's tokenizer is not BERT's (see
                :meth:`Tokenizer.encode_pieces`).
            tokens: how many the text has, special tokens included, if that is known: one pass.

        Returns:
            ``[hidden]`` float32 of unit length; zeros for a text of no tokens.

        Raises:
            InputError: a piece is neither text nor integers in one dimension, an id is out of range, or there are not
                ``tokens`` tokens.
            EngineError: the engine or the form of the model cannot do this, the engine is closed, or memory or the
                temporary folder do not suffice.
        """
        if self.bundle.manifest.form == "parallel":
            raise EngineError(
                "expected a bundle of the form flat or recurrent, found parallel, in which every token reads the whole "
                "text: it cannot come in pieces; pass it whole: embed([text])"
            )
        embed = self._streamer()
        if tokens is not None and (not isinstance(tokens, Integral) or tokens < 0):
            raise InputError(f"expected tokens as a number, at least 0, or None, found {tokens!r}")
        ids = token_pieces(pieces, self.tokenizer, self.model.vocab_size)
        if tokens is not None:
            return embed(ids, int(tokens))
        with counted(ids) as (every, found):
            return embed(every, found)

    def embed_ids(self, input_ids: np.ndarray, attention_mask: np.ndarray | None = None) -> np.ndarray:
        """Embed tokenised texts, as many at once as :attr:`default_batch_tokens` holds.

        Args:
            input_ids: ``[B, L]`` integers, 0 <= id < vocabulary, where the mask is 1.
            attention_mask: ``[B, L]`` of ones then zeros (padding on the right); all ones if left out.

        Returns:
            ``[B, hidden]`` float32 of unit length; zeros for a row of no tokens.

        Raises:
            InputError: wrong shape or dtype, an id out of range, padding on the left or inside, a text longer than
                :attr:`max_tokens`.
            EngineError: the engine is closed, or memory does not suffice.
        """
        ids, mask = self._checked(input_ids, attention_mask)
        if ids.size == 0:
            return np.zeros((ids.shape[0], self.model.hidden_size), dtype=np.float32)
        longest = max(1, int(mask.sum(axis=1).max()))
        size = max(1, min(self.default_batch_tokens // longest, self._max_batch(longest) or len(ids)))
        parts = [slice(start, start + size) for start in range(0, len(ids), size)]
        return np.concatenate([self._infer(ids[part, :longest], mask[part, :longest]) for part in parts])

    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int = 32,
        show_progress_bar: bool = False,
        normalize_embeddings: bool = True,
    ) -> np.ndarray:
        """The call that users of sentence-transformers know; :meth:`embed` batches better.

        Args:
            sentences: one text or several.
            batch_size: at most this many texts go through the model at once.
            show_progress_bar: on the terminal.
            normalize_embeddings: accepted for compatibility; embeddings are of unit length in any case.

        Returns:
            ``[hidden]`` for one text, ``[n, hidden]`` for several; float32.

        Raises:
            InputError: ``sentences`` holds something that is no string, or ``batch_size`` is below 1.
            EngineError: the engine is closed, or memory does not suffice.
        """
        del normalize_embeddings
        if batch_size < 1:
            raise InputError(f"expected a batch_size of at least 1, found {batch_size}")
        texts = [sentences] if isinstance(sentences, str) else _checked_texts(sentences)

        def run(progress: Progress | None) -> np.ndarray:
            return self._embed(texts, batch_tokens=None, batch_size=batch_size, progress=progress)

        if show_progress_bar:
            from rich.console import Console
            from rich.progress import Progress as Bar

            with Bar(console=Console(stderr=True)) as bar:
                task = bar.add_task("Embedding", total=len(texts))
                vectors = run(lambda done: bar.advance(task, done))
        else:
            vectors = run(None)
        return vectors[0] if isinstance(sentences, str) else vectors

    def __enter__(self) -> "EmbeddingEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _embed(
        self, texts: Sequence[str], *, batch_tokens: int | None, batch_size: int | None, progress: Progress | None
    ) -> np.ndarray:
        if batch_tokens is None:
            batch_tokens = self.default_batch_tokens
        if batch_tokens < 1:
            raise InputError(f"expected batch_tokens of at least 1, found {batch_tokens}")
        vectors = np.empty((len(texts), self.model.hidden_size), dtype=np.float32)
        ids = self.tokenizer.encode(texts)
        lengths = [len(i) for i in ids]
        for rows in batches(
            lengths,
            batch_tokens=batch_tokens,
            batch_size=batch_size,
            max_padding=self.max_padding,
            max_batch=self._max_batch,
        ):
            vectors[rows] = self._infer(*pad([ids[row] for row in rows], self.model.pad_token_id))
            if progress is not None:
                progress(len(rows))
        return vectors

    def _checked(self, input_ids: np.ndarray, attention_mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        ids = _integers("input_ids", input_ids)
        mask = np.ones_like(ids) if attention_mask is None else _integers("attention_mask", attention_mask)
        if mask.shape != ids.shape:
            raise InputError(f"expected attention_mask of shape {list(ids.shape)}, found {list(mask.shape)}")
        if mask.size and (mask.min() < 0 or mask.max() > 1 or (np.diff(mask, axis=1) > 0).any()):
            raise InputError(
                "expected an attention_mask of ones then zeros in every row (padding on the right), found other rows; "
                "set the tokenizer's padding side to right"
            )
        valid = ids[mask == 1]
        if valid.size and (valid.min() < 0 or valid.max() >= self.model.vocab_size):
            raise InputError(
                f"expected token ids 0 to {self.model.vocab_size - 1}, found {valid.min()} to {valid.max()}; "
                f"tokenise with the bundle's tokenizer.json"
            )
        return np.where(mask == 1, ids, self.model.pad_token_id), mask


def _check_collection(texts: object) -> None:
    if isinstance(texts, str):  # a collection too, of one-letter texts
        raise InputError("expected a list of texts, found one string; pass [text]")
    if not isinstance(texts, Iterable):
        raise InputError(f"expected a list of texts, found {type(texts).__name__}")


def _checked_texts(texts: Iterable[str]) -> list[str]:
    _check_collection(texts)
    checked = list(texts)
    for i, text in enumerate(checked):
        if not isinstance(text, str):
            raise InputError(f"expected a string at position {i}, found {type(text).__name__}")
    return checked


def _integers(name: str, values: np.ndarray) -> np.ndarray:
    """``values`` as ``[B, L]`` int64."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError):
        raise InputError(
            f"expected {name} as integers [batch, tokens], found rows of unlike length; pad them"
        ) from None
    if array.ndim != 2 or not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool or not array.size):
        raise InputError(f"expected {name} as integers [batch, tokens], found {array.dtype} {list(array.shape)}")
    return array.astype(np.int64)
