"""The one interface of all engines: texts in, unit-length embeddings out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ..bundles.bundle import Bundle
from ..errors import EngineError, InputError
from .batching import DEFAULT_BATCH_TOKENS, MAX_PADDING, batches, checked_ids, pad, windows
from .streaming import counted, token_pieces
from .texts import checked_texts, texts_of, whole_number
from .tokenizer import tokenizer_of

_TOKENS_OF_A_CHARACTER = 40
"""No tokenizer makes more: of all characters, U+FDFA becomes longest when normalised, 33 bytes of UTF-8."""


class EmbeddingEngine(ABC):
    """A bundle loaded into a runtime. An embedding depends on its own text alone, not on the texts in its batch."""

    default_batch_tokens: int = DEFAULT_BATCH_TOKENS
    """Largest number of tokens in a batch, padding counted, if the caller names none."""

    max_padding: int = MAX_PADDING
    """Largest number of padding tokens in a batch. With more, two batches are faster."""

    def __init__(self, bundle: Bundle, file: str) -> None:
        self.bundle = bundle
        self.file = file
        """The file of the bundle that is run."""
        self.model = bundle.manifest.model
        self.tokenizer = tokenizer_of(bundle)
        self.tokens = 0
        """Tokens of the texts embedded so far, special tokens included and padding not."""
        self.again: tuple[Callable[..., EmbeddingEngine], tuple[Any, ...]] | None = None
        """The function and arguments that load the same engine again, in this process or another; for pickle."""

    @abstractmethod
    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Run the model: checked inputs ``[B, L]`` int64, B and L at least 1, to ``[B, hidden]`` float32."""

    @abstractmethod
    def close(self) -> None:
        """Give back the runtime's memory. The engine cannot be used afterwards."""

    def share(self, calls: int) -> int:
        """Prepare for calls at the same time, each of which shall have its share of the threads.

        Args:
            calls: at most so many.

        Returns:
            How many calls it runs at the same time; further ones gain nothing. 1: this engine cannot share.
        """
        return 1

    def _streamer(self) -> Callable[[Iterable[np.ndarray], int], np.ndarray]:
        """A function that embeds one text in constant memory.

        It takes the pieces of the text's checked ids and their number, and gives ``[hidden]``.

        Raises:
            EngineError: this engine takes no text in pieces; the message says which does.
        """
        raise EngineError(
            f"expected the engine onnxruntime, which takes a text in pieces, found {self.file} in another; load the "
            f"bundle with load_engine(BUNDLE)"
        )

    @property
    def max_tokens(self) -> int | None:
        """Tokens of the longest text that the engine takes; None: no limit."""
        return None

    def _max_batch(self, tokens: int) -> int | None:
        """How many texts of this many tokens the runtime takes at once; None: no limit.

        Raises:
            InputError: the runtime takes no text of this length.
        """
        return None

    def check_length(self, text: str) -> None:
        """Check that the engine takes a text of this length, before it is embedded with others.

        Raises:
            InputError: it is longer than :attr:`max_tokens`.
        """
        if self.max_tokens is not None and (len(text) + 1) * _TOKENS_OF_A_CHARACTER > self.max_tokens:
            self._max_batch(len(self.tokenizer.encode([text])[0]))

    def embed(
        self, texts: Sequence[str], *, batch_tokens: int | None = None, progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Embed any number of texts of any length.

        Example:
            >>> with load_engine("my-model") as engine:
            ...     vectors = engine.embed(["How do I reset my password?", "Where can I change my login?"])
            >>> vectors[0] @ vectors[1]  # the cosine, because embeddings have unit length

        Args:
            texts: any Unicode; empty texts too. A list, Series, array or generator of strings. A lone surrogate
                counts as U+FFFD.
            batch_tokens: largest number of tokens in a batch, padding counted. Default: :attr:`default_batch_tokens`.
            progress: called after every batch with its number of texts.

        Returns:
            ``[len(texts), hidden]`` float32 of unit length, in the order of ``texts``.

        Raises:
            InputError: ``texts`` is one string, a table, a mapping, a set, holds something other than strings, or
                holds a text longer than :attr:`max_tokens`; or ``batch_tokens`` is no whole number of at least 1.
            EngineError: the engine is closed, or there is too little memory.
        """
        return self._embed(checked_texts(texts), batch_tokens=batch_tokens, batch_size=None, progress=progress)

    def embed_many(
        self, texts: Iterable[str], *, batch_tokens: int | None = None, progress: Callable[[int], None] | None = None
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """Embed more texts than fit into memory.

        Texts are read as needed. They are yielded in order, in windows, each with its embeddings ``[n, hidden]``.
        Arguments and errors are those of :meth:`embed`.
        """
        for window in windows(texts_of(texts)):
            yield window, self.embed(window, batch_tokens=batch_tokens, progress=progress)

    def embed_stream(self, pieces: Iterable[str] | Iterable[np.ndarray], *, tokens: int | None = None) -> np.ndarray:
        """Embed one text that comes in pieces, in constant memory. The result is that of :meth:`embed`.

        The model takes token ids in windows, which are read from ``pieces`` as needed. A token's place in the position
        table depends on the length of the whole text. So without ``tokens`` there are two passes: the first tokenises
        the text into a temporary file (4 bytes a token, without a name, in TMPDIR), the second embeds it.

        Args:
            pieces: of one text, in order, cut anywhere: strings, such as the lines of an open file, or rows of token
                ids, special tokens included. No piece at all is the empty text. Some texts are held whole; see
                :meth:`Tokenizer.encode_pieces`.
            tokens: number of tokens of the text, special tokens included. With it there is one pass.

        Returns:
            ``[hidden]`` float32 of unit length; zeros for a text of no tokens.

        Raises:
            InputError: a piece is neither text nor integers in one dimension, an id is out of range, or ``tokens`` is
                not the number of tokens.
            EngineError: the engine or the form of the model takes no text in pieces, the engine is closed, or there is
                too little memory or room in the temporary folder.
        """
        if self.bundle.manifest.form == "parallel":
            raise EngineError(
                "expected a bundle of the form flat or recurrent, found parallel, in which every token reads the whole "
                "text; pass the text whole: embed([text])"
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
        """Embed tokenised texts, in batches of at most :attr:`default_batch_tokens` tokens.

        Args:
            input_ids: ``[B, L]`` integers. Where the mask is 1, 0 <= id < vocabulary.
            attention_mask: ``[B, L]``: in each row ones, then zeros (padding on the right). Default: all ones.

        Returns:
            ``[B, hidden]`` float32 of unit length; zeros for a row of no tokens.

        Raises:
            InputError: wrong shape or dtype, an id out of range, padding that is not on the right, or a text longer
                than :attr:`max_tokens`.
            EngineError: the engine is closed, or there is too little memory.
        """
        ids, mask = checked_ids(
            input_ids, attention_mask, vocab_size=self.model.vocab_size, pad_token_id=self.model.pad_token_id
        )
        if ids.size == 0:
            return np.zeros((ids.shape[0], self.model.hidden_size), dtype=np.float32)
        longest = max(1, int(mask.sum(axis=1).max()))
        return self._in_parts(ids[:, :longest], mask[:, :longest])

    def embed_encoded(self, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Embed what this engine's tokenizer gave, without the checks of :meth:`embed_ids`.

        Args:
            ids: ``[n]`` int64 token ids of each text; at least one text.

        Returns:
            ``[len(ids), hidden]`` float32 of unit length.

        Raises:
            InputError: a text is longer than :attr:`max_tokens`.
            EngineError: the engine is closed, or there is too little memory.
        """
        return self._in_parts(*pad(ids, self.model.pad_token_id))

    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int = 32,
        show_progress_bar: bool = False,
        normalize_embeddings: bool = True,
    ) -> np.ndarray:
        """The call that users of sentence-transformers know. :meth:`embed` batches better.

        Args:
            sentences: one text or several.
            batch_size: largest number of texts in a batch.
            show_progress_bar: show a bar on standard error.
            normalize_embeddings: accepted for compatibility. Embeddings always have unit length.

        Returns:
            ``[hidden]`` for one text, ``[n, hidden]`` for several; float32.

        Raises:
            InputError: ``sentences`` is a table, a mapping or a set, or holds something other than strings; or
                ``batch_size`` is no whole number of at least 1.
            EngineError: the engine is closed, or there is too little memory.
        """
        del normalize_embeddings
        batch_size = whole_number("batch_size", batch_size)
        texts = [sentences] if isinstance(sentences, str) else checked_texts(sentences)

        def run(progress: Callable[[int], None] | None) -> np.ndarray:
            return self._embed(texts, batch_tokens=None, batch_size=batch_size, progress=progress)

        if show_progress_bar:
            from rich.console import Console
            from rich.progress import Progress

            with Progress(console=Console(stderr=True)) as bar:
                task = bar.add_task("Embedding", total=len(texts))
                vectors = run(lambda done: bar.advance(task, done))
        else:
            vectors = run(None)
        return vectors[0] if isinstance(sentences, str) else vectors

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how to load it again: from the same bundle, which must be unchanged, with the same options."""
        if self.again is None:
            raise EngineError("expected an engine of load_engine to pickle, found one that was made by itself")
        return self.again

    def __enter__(self) -> "EmbeddingEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _embed(
        self,
        texts: Sequence[str],
        *,
        batch_tokens: int | None,
        batch_size: int | None,
        progress: Callable[[int], None] | None,
    ) -> np.ndarray:
        batch_tokens = self.default_batch_tokens if batch_tokens is None else whole_number("batch_tokens", batch_tokens)
        vectors = np.empty((len(texts), self.model.hidden_size), dtype=np.float32)
        ids = self.tokenizer.encode(texts)
        lengths = [len(i) for i in ids]
        self.tokens += sum(lengths)
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

    def _in_parts(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Run the model on checked inputs ``[B, L]`` of any size."""
        longest = ids.shape[1]
        size = max(1, min(self.default_batch_tokens // longest, self._max_batch(longest) or len(ids)))
        if size >= len(ids):
            return self._infer(ids, mask)
        parts = [slice(start, start + size) for start in range(0, len(ids), size)]
        return np.concatenate([self._infer(ids[part], mask[part]) for part in parts])
