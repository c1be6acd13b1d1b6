"""``lam_core``: token ids to embeddings, in Triton's Python backend.

It gets whatever requests have gathered in the queue, each with a shape of its own, and cuts their texts into batches of
like length under a token budget. Each request is answered when its last text is done, not when the whole queue is.
Its parameters are ``network`` and what it needs, ``batch_tokens``, ``max_padding``, ``hidden_size``, ``vocab_size`` and
``pad_token_id``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from ...batching import batches, pad
from .networks import network_of
from .requests import RequestError, answer, failure, output, parameters_of, refusal


class TritonPythonModel:
    """``input_ids`` ``[B, n]`` and ``token_count`` ``[B, 1]``, int32, to ``sentence_embedding`` ``[B, hidden]``."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = parameters_of(args)
        self.batch_tokens = int(parameters["batch_tokens"])
        self.max_padding = int(parameters["max_padding"])
        self.vocab_size = int(parameters["vocab_size"])
        self.pad_token_id = int(parameters["pad_token_id"])
        self.hidden_size = int(parameters["hidden_size"])
        self.network = network_of(parameters, Path(__file__).parents[3])

    def execute(self, requests: Sequence[Any]) -> None:
        waiting: list[_Waiting] = []
        rows: list[np.ndarray] = []
        owners: list[tuple[_Waiting, int]] = []
        for request in requests:
            sender = request.get_response_sender()
            try:
                found = self.rows_of(request)
            except RequestError as refused:
                _send(sender, refusal(refused))
                continue
            mine = _Waiting(request, sender, np.empty((len(found), self.hidden_size), np.float32))
            waiting.append(mine)
            rows += found
            owners += [(mine, i) for i in range(len(found))]
        parts = batches(
            [len(row) for row in rows],
            batch_tokens=self.batch_tokens,
            max_padding=self.max_padding,
            max_batch=self.network.max_batch,
        )
        for batch in parts:
            wanted = [i for i in batch if owners[i][0].wanted()]
            if not wanted:
                continue
            try:
                vectors = self.network.run(*pad([rows[i] for i in wanted], self.pad_token_id))
            except Exception as error:
                for i in wanted:
                    owners[i][0].fail(error)
                continue
            for i, vector in zip(wanted, vectors, strict=True):
                owner, row = owners[i]
                owner.take(row, vector)

    def rows_of(self, request: Any) -> list[np.ndarray]:
        ids = pb_utils.get_input_tensor_by_name(request, "input_ids").as_numpy()
        counts = pb_utils.get_input_tensor_by_name(request, "token_count").as_numpy().ravel()
        if len(counts) != len(ids) or counts.min() < 1 or counts.max() > ids.shape[1]:
            raise RequestError(f"expected a token_count of 1 to {ids.shape[1]} for each text, found {counts.tolist()}")
        rows = [row[:count] for row, count in zip(ids, counts, strict=True)]
        if any(row.min() < 0 or row.max() >= self.vocab_size for row in rows):
            raise RequestError(f"expected token ids 0 to {self.vocab_size - 1}; tokenise with lam_tokenizer")
        return rows


class _Waiting:
    """A request of which not all texts are done."""

    def __init__(self, request: Any, sender: Any, vectors: np.ndarray) -> None:
        self.request, self.sender, self.vectors = request, sender, vectors
        self.left = len(vectors)

    def wanted(self) -> bool:
        """Whether its texts are still to be computed; a request whose client has gone is dropped here."""
        if self.left and self.request.is_cancelled():
            self._end(
                pb_utils.InferenceResponse(error=pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED))
            )
        return self.left > 0

    def take(self, row: int, vector: np.ndarray) -> None:
        self.vectors[row] = vector
        self.left -= 1
        if self.left == 0:
            _send(self.sender, answer(output("sentence_embedding", self.vectors)))

    def fail(self, error: Exception) -> None:
        if self.left:
            self._end(failure(error))

    def _end(self, response: Any) -> None:
        self.left = 0
        _send(self.sender, response)


def _send(sender: Any, response: Any) -> None:
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
