"""``lam_core``: token ids to embeddings, in Triton's Python backend.

The texts of all requests go into one pool. Threads take batches of similar length from it, under a token budget. A
request is answered when its last text is done. The parameters are ``workers``, ``batch_tokens``, ``max_padding``,
``hidden_size``, ``vocab_size``, ``pad_token_id``, ``max_tokens`` and those of :func:`~.networks.network_of`.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import triton_python_backend_utils as pb_utils

from ....contract import INPUT_IDS, SENTENCE_EMBEDDING, TOKEN_COUNT
from ....embedding.batching import pad
from ...pool import Pool
from .counters import Counters
from .networks import network_of
from .requests import RequestError, answer, failure, output, parameters_of, refusal

_POOL_BATCHES, _POOL_TEXTS = 4, 2
"""The pool has room for so many full batches, so that texts of similar length meet, and for so many of the longest
texts, so that a few long ones do not shut out the short ones behind them. More texts wait in Triton's queue, where they
can be refused."""


class TritonPythonModel:
    """``input_ids`` ``[B, n]`` and ``token_count`` ``[B, 1]``, int32, to ``sentence_embedding`` ``[B, hidden]``."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = parameters_of(args)
        batch_tokens = int(parameters["batch_tokens"])
        self.vocab_size = int(parameters["vocab_size"])
        self.max_tokens = int(parameters["max_tokens"])
        self.pad_token_id = int(parameters["pad_token_id"])
        self.hidden_size = int(parameters["hidden_size"])
        self.network = network_of(parameters, Path(__file__).parents[4])
        self.counters = Counters()
        self.pool: Pool[_Text] = Pool(
            batch_tokens=batch_tokens,
            max_padding=int(parameters["max_padding"]),
            max_batch=self.network.max_batch,
        )
        self.most_tokens = _POOL_BATCHES * batch_tokens + _POOL_TEXTS * self.max_tokens
        self.workers = [threading.Thread(target=self.work) for _ in range(int(parameters["workers"]))]
        for worker in self.workers:
            worker.start()

    def execute(self, requests: Sequence[Any]) -> None:
        """Put the texts into the pool. Their requests are answered later, from the threads.

        Triton hands over many requests at once. Each waits here until the pool has room for its tokens.
        """
        self.counters.waits(len(requests))
        for request in requests:
            sender = _Sender(request.get_response_sender(), self.counters)
            self.pool.wait_for_room(self.most_tokens)
            if request.is_cancelled():
                sender.send(_cancelled())
                continue
            try:
                rows = self.rows_of(request)
            except RequestError as refused:
                sender.send(refusal(refused))
                continue
            owner = _Waiting(request, sender, np.empty((len(rows), self.hidden_size), np.float32))
            now = monotonic()
            self.pool.add([_Text(owner, i, row, now) for i, row in enumerate(rows)])

    def finalize(self) -> None:
        self.pool.close()
        for worker in self.workers:
            worker.join()

    def work(self) -> None:
        """Compute batch after batch until the pool is closed."""
        while batch := self.pool.take():
            try:
                self.compute([text for text in batch if text.owner.wanted()])
            except Exception as error:  # it concerns these texts alone; the next batch may be fine
                for text in batch:
                    text.owner.fail(error)

    def compute(self, texts: "Sequence[_Text]") -> None:
        if not texts:
            return
        input_ids, attention_mask = pad([text.ids for text in texts], self.pad_token_id)
        begun = monotonic()
        vectors = self.network.run(input_ids, attention_mask)
        computed = monotonic() - begun
        for text, vector in zip(texts, vectors, strict=True):
            text.owner.take(text.row, vector)
        tokens = sum(text.tokens for text in texts)
        self.counters.add(
            lam_texts=len(texts),
            lam_tokens=tokens,
            lam_padding_tokens=input_ids.size - tokens,
            lam_batches=1,
            lam_wait_seconds=sum(begun - text.since for text in texts),
            lam_compute_seconds=computed * len(texts),
        )

    def rows_of(self, request: Any) -> list[np.ndarray]:
        ids = pb_utils.get_input_tensor_by_name(request, INPUT_IDS).as_numpy()
        counts = pb_utils.get_input_tensor_by_name(request, TOKEN_COUNT).as_numpy().ravel()
        if len(counts) != len(ids) or counts.min() < 1 or counts.max() > ids.shape[1]:
            raise RequestError(
                f"expected a {TOKEN_COUNT} of 1 to {ids.shape[1]} for each text, found {counts.tolist()}"
            )
        rows = [row[:count] for row, count in zip(ids, counts, strict=True)]
        if (longest := int(counts.max())) > self.max_tokens:
            raise RequestError(
                f"expected texts of at most {self.max_tokens:,} tokens, found {longest:,} in text {counts.argmax()}; "
                f"cut it"
            )
        if any(row.min() < 0 or row.max() >= self.vocab_size for row in rows):
            raise RequestError(f"expected token ids 0 to {self.vocab_size - 1}; tokenise with lam_tokenizer")
        return rows


class _Waiting:
    """A request with texts that are not done. Several threads may compute its texts."""

    def __init__(self, request: Any, sender: "_Sender", vectors: np.ndarray) -> None:
        self.request, self.sender, self.vectors = request, sender, vectors
        self.left = len(vectors)
        self.lock = threading.Lock()

    def wanted(self) -> bool:
        """Whether its texts must still be computed. A request whose client has gone is dropped here."""
        if self.left > 0 and self.request.is_cancelled():
            self._end(_cancelled())
        return self.left > 0

    def take(self, row: int, vector: np.ndarray) -> None:
        self.vectors[row] = vector
        with self.lock:
            self.left -= 1
            done = self.left == 0  # below zero: the request has failed or was cancelled
        if done:
            self.sender.send(answer(output(SENTENCE_EMBEDDING, self.vectors)))

    def fail(self, error: Exception) -> None:
        self._end(failure(error))

    def _end(self, response: Any) -> None:
        with self.lock:
            open_still, self.left = self.left > 0, 0
        if open_still:
            self.sender.send(response)


class _Text(NamedTuple):
    """One text of a request."""

    owner: _Waiting
    row: int
    """Number of the text in its request."""
    ids: np.ndarray
    since: float
    """When the text came, by the monotonic clock."""

    @property
    def tokens(self) -> int:
        return len(self.ids)


class _Sender:
    """Sends the one response to a request, which then no longer waits."""

    def __init__(self, sender: Any, counters: Counters) -> None:
        self._sender, self._counters = sender, counters

    def send(self, response: Any) -> None:
        self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        self._counters.waits(-1)


def _cancelled() -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED))
