"""A bundle's engine behind a pool of waiting texts."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic

import numpy as np
import tokenizers

from ...embedding.engine import EmbeddingEngine
from ...errors import BundleError
from ..limits import BYTES_PER_TOKEN
from ..pool import Pool
from .errors import SERVER_FAILED, ApiError, overloaded, stopping
from .metrics import Metrics, ModelLabels
from .options import HttpOptions
from .waiting import Embedded, WaitingRequest, WaitingText

_STUCK_SECONDS = 60.0
"""A batch that takes longer than this, and ten times longer than expected, will never end."""
_AT_ONCE = 1000
"""Characters that are tokenised in the event loop itself: another thread would take longer."""


class HttpModel:
    """An engine, its waiting texts, and the threads that compute. Its coroutines belong to one event loop."""

    def __init__(
        self,
        labels: ModelLabels,
        engine: EmbeddingEngine,
        options: HttpOptions,
        metrics: Metrics,
        slots: threading.Semaphore,
        workers: int,
    ) -> None:
        """Warm the engine up and start the threads.

        Args:
            labels: the name that clients ask for, and what runs.
            engine: a loaded bundle, closed by :meth:`close`.
            options: of the server.
            metrics: of the server.
            slots: held by a thread while it computes. Models that share processors share it.
            workers: threads that compute.

        Raises:
            BundleError: the engine's embedding of a text is not a unit vector.
            EngineError: the engine fails.
        """
        self.labels, self.name, self.engine = labels, labels.model, engine
        self.hidden_size = engine.model.hidden_size
        self.max_tokens = min(options.max_tokens, engine.max_tokens or options.max_tokens)
        self._options, self._metrics, self._slots = options, metrics.of(labels), slots
        if options.batch_tokens is not None:
            engine.default_batch_tokens = options.batch_tokens
        self._plain = tokenizers.Tokenizer.from_str(engine.tokenizer.to_json())
        self._cutter = tokenizers.Tokenizer.from_str(engine.tokenizer.to_json())
        self._cutter.enable_truncation(self.max_tokens)
        self._pool: Pool[WaitingText] = Pool(
            batch_tokens=engine.default_batch_tokens, max_padding=engine.max_padding, max_batch=lambda tokens: None
        )
        self._in_hand: dict[object, tuple[int, float]] = {}
        """Tokens of each batch that is being computed, and when it began."""
        self._users = 0
        self._requests: set[WaitingRequest] = set()
        self._tokenizing = ThreadPoolExecutor(2, thread_name_prefix=f"tokenize {self.name}")
        self._pace = self._warm_up()
        self._workers = [
            threading.Thread(target=self._work, name=f"compute {self.name}", daemon=True) for _ in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    @property
    def waiting_tokens(self) -> int:
        """Tokens that wait or are being computed."""
        return self._pool.tokens + sum(tokens for tokens, _ in list(self._in_hand.values()))

    @property
    def waiting_seconds(self) -> float:
        """Seconds that these tokens take, as measured on the latest batches."""
        return self.waiting_tokens / self._pace

    @property
    def overloaded(self) -> bool:
        """Whether a request would be refused now."""
        return self.waiting_seconds > self._options.queue_timeout

    @property
    def moves(self) -> bool:
        """Whether batches are being computed, or there is nothing to compute."""
        if not all(worker.is_alive() for worker in self._workers):
            return False
        now = monotonic()
        return all(
            now - begun < max(_STUCK_SECONDS, 10 * tokens / self._pace)
            for tokens, begun in list(self._in_hand.values())
        )

    async def embed(self, texts: Sequence[str], *, truncate: bool | None = None) -> Embedded:
        """Embed texts. Cancelling the call takes the texts that still wait out of the pool.

        Args:
            texts: at least one.
            truncate: cut texts that are too long; None: as the server's options say.

        Raises:
            ApiError: a text is too long, there are too many tokens, the server has too much to do, or failed.
        """
        self._admit()
        begun = monotonic()
        with self._used():
            tokenized = await self._tokenized(texts, truncate)
            self._admit()
            request = WaitingRequest(len(texts), self.hidden_size)
            waiting = [WaitingText(request, i, row) for i, row in enumerate(tokenized.ids)]
            self._requests.add(request)
            self._pool.add(waiting)
            try:
                await request.done
            except BaseException:  # the client has gone, or a batch failed: the other texts are useless
                request.left = 0
                self._metrics.abandoned.inc(self._pool.remove(waiting))
                raise
            finally:
                self._requests.discard(request)
        seconds = {
            "tokenize": waiting[0].since - begun,
            "queue": request.begun - waiting[0].since,
            "compute": monotonic() - request.begun,
        }
        counts, truncated = np.array(tokenized.counts, np.int32), np.array(tokenized.truncated)
        return Embedded(request.vectors, counts, truncated, begun, seconds)

    async def tokenize(self, texts: Sequence[str], *, special: bool) -> "list[tokenizers.Encoding]":
        """The tokens of each text, of any length.

        Args:
            texts: at least one.
            special: put the special tokens around each.
        """
        encode = partial(self._plain.encode_batch, texts, add_special_tokens=special)
        with self._used():
            return await asyncio.get_running_loop().run_in_executor(self._tokenizing, encode)

    def abandon(self) -> None:
        """Answer all waiting requests with an error, because the server must stop."""
        for request in list(self._requests):
            request.fail(stopping())

    async def retire(self) -> None:
        """Finish the requests that began here, then close. New ones must go elsewhere."""
        while self._users:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Stop the threads and close the engine."""
        self._pool.close()
        self._tokenizing.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.join()
        self.engine.close()

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    def _admit(self) -> None:
        if self.overloaded:
            self._metrics.overloaded.inc()
            raise overloaded(self.waiting_seconds)

    async def _tokenized(self, texts: Sequence[str], truncate: bool | None) -> "_Tokenized":
        cuts = self._options.truncation == "truncate" if truncate is None else truncate
        begun, work = monotonic(), partial(self._encode, texts, cuts)
        short = sum(map(len, texts)) <= _AT_ONCE
        found = work() if short else await asyncio.get_running_loop().run_in_executor(self._tokenizing, work)
        self._metrics.tokenize.observe(monotonic() - begun)
        if (total := sum(found.counts)) > self._options.max_request_tokens:
            raise ApiError(
                413,
                f"expected at most {self._options.max_request_tokens:,} tokens in a request, found {total:,}; send "
                f"fewer texts at once",
                param="input",
            )
        return found

    def _encode(self, texts: Sequence[str], cuts: bool) -> "_Tokenized":
        most = self.max_tokens * BYTES_PER_TOKEN
        truncated = [len(text) > most for text in texts]
        if any(truncated) and not cuts:
            raise self._too_long(truncated.index(True), texts, f"more than {most:,} characters")
        ids = self.engine.tokenizer.encode([text[:most] for text in texts])
        for i, row in enumerate(ids):
            if len(row) > self.max_tokens:
                if not cuts:
                    raise self._too_long(i, texts, f"{len(row):,}")
                ids[i] = np.asarray(self._cutter.encode(texts[i][:most]).ids, dtype=np.int64)
                truncated[i] = True
        return _Tokenized(ids, [len(row) for row in ids], truncated)

    def _too_long(self, i: int, texts: Sequence[str], found: str) -> ApiError:
        return ApiError(
            413,
            f"expected texts of at most {self.max_tokens:,} tokens, found {found} in text {i}; cut it, ask to truncate "
            f"it (truncate: true), or serve with another --max-tokens",
            param="input" if len(texts) == 1 else f"input[{i}]",
            code="text_too_long",
        )

    def _warm_up(self) -> float:
        """Embed texts of several lengths. Returns the tokens a second of the last."""
        for count in (8, 64, 256):
            ids = np.full((1, min(count, self.max_tokens)), self.engine.model.pad_token_id, dtype=np.int64)
            begun = monotonic()
            vectors = self.engine.embed_ids(ids)
        if not np.isfinite(vectors).all() or abs(float(np.linalg.norm(vectors)) - 1) > 1e-2:
            raise BundleError(
                f"expected an embedding of length 1 from {self.engine.bundle.path}, found {np.linalg.norm(vectors):.3g}"
                f"; make the bundle again: lam-export onnx"
            )
        return ids.size / max(1e-6, monotonic() - begun)

    def _work(self) -> None:
        """Compute batch after batch until the pool is closed. All else is done in the event loop meanwhile."""
        while batch := self._pool.take():
            with self._slots:
                texts = [text for text in batch if text.request.left > 0]
                if not texts:
                    continue
                begun, key = monotonic(), object()
                self._in_hand[key] = sum(text.tokens for text in texts), begun
                beside = len(self._in_hand)
                found: np.ndarray | Exception
                try:
                    found = self.engine.embed_encoded([text.ids for text in texts])
                except Exception as error:  # it concerns these texts alone; the next batch may be fine
                    found = error
                finally:
                    del self._in_hand[key]
            with suppress(RuntimeError):  # the loop has ended: nobody waits
                loop = texts[0].request.done.get_loop()
                loop.call_soon_threadsafe(self._answer, texts, found, begun, monotonic() - begun, beside)

    def _answer(
        self, texts: Sequence[WaitingText], found: np.ndarray | Exception, begun: float, seconds: float, beside: int
    ) -> None:
        """Give a batch's embeddings to its requests. It was one of so many ``beside`` each other."""
        if isinstance(found, Exception):
            failed = ApiError(500, SERVER_FAILED)
            failed.__cause__ = found
            for text in texts:
                text.request.fail(failed)
            return
        for text, vector in zip(texts, found, strict=True):
            text.request.begun = min(begun, text.request.begun)
            text.request.take(text.row, vector)
            self._metrics.queue.observe(begun - text.since)
            self._metrics.compute.observe(seconds)
        tokens = sum(text.tokens for text in texts)
        self._metrics.texts.inc(len(texts))
        self._metrics.tokens.inc(tokens)
        self._metrics.padding.inc(len(texts) * max(text.tokens for text in texts) - tokens)
        self._metrics.batch_texts.observe(len(texts))
        # Small batches say little: most of their time is a batch's fixed cost.
        weight = 0.2 * min(1.0, tokens / self.engine.default_batch_tokens)
        self._pace += weight * (beside * tokens / max(1e-6, seconds) - self._pace)


@dataclass(frozen=True)
class _Tokenized:
    """A request's texts as token ids."""

    ids: list[np.ndarray]
    counts: list[int]
    truncated: list[bool]
