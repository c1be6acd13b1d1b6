"""Texts to Triton's requests, and its answers to embeddings. Both clients share this."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....contract import SENTENCE_EMBEDDING, TEXT, TOKEN_COUNT, TRUNCATED
from ....embedding.batching import batches
from ....embedding.texts import without_surrogates
from .errors import RefusedError, ServerError

_OUTPUTS = (SENTENCE_EMBEDDING, TOKEN_COUNT, TRUNCATED)
_BATCH_CHARACTERS = 1 << 20
"""Largest number of characters in a request, counted as if its texts were padded to the longest. So texts of similar
length go together, and messages stay small."""
CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # By default gRPC's pause between attempts to connect grows to two minutes. Calls in that pause fail at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


@dataclass(frozen=True)
class Embeddings:
    """The server's answer about texts, in their order."""

    vectors: np.ndarray
    """Embeddings ``[n, hidden]`` float32 of unit length."""
    tokens: np.ndarray
    """Number of each text's tokens that were embedded, special tokens included; ``[n]`` int32."""
    truncated: np.ndarray
    """Whether each text was cut to the server's limit; ``[n]`` bool."""


@dataclass(frozen=True)
class ServedModel:
    """Facts of the served model that a client needs."""

    max_batch: int
    """Largest number of texts in a request."""
    hidden_size: int
    """Length of an embedding."""

    @staticmethod
    def of(config: Any) -> "ServedModel":
        """Read the server's ``ModelConfig``.

        Raises:
            ServerError: the model is of another kind.
        """
        inputs = {tensor.name for tensor in config.input}
        sizes = {tensor.name: list(tensor.dims) for tensor in config.output}
        if inputs != {TEXT} or not {*_OUTPUTS} <= set(sizes):
            raise ServerError(
                f"expected a model with the input {TEXT} and the outputs {', '.join(_OUTPUTS)}, found {config.name} "
                f"with {', '.join(sorted(inputs))} and {', '.join(sorted(sizes))}; make the repository again: "
                f"lam-export triton"
            )
        return ServedModel(max(1, config.max_batch_size), sizes[SENTENCE_EMBEDDING][-1])

    def parts(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Indices of the texts of each request, the longest texts first."""
        return batches([len(t) for t in texts], batch_tokens=_BATCH_CHARACTERS, batch_size=self.max_batch)


def inputs(texts: Sequence[str]) -> list[Any]:
    """The input tensors of one request."""
    from tritonclient.grpc import InferInput

    content = np.array([without_surrogates(text).encode() for text in texts], dtype=object)
    tensor = InferInput(TEXT, [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(content[:, None])
    return [tensor]


def outputs() -> list[Any]:
    """The output tensors to ask for."""
    from tritonclient.grpc import InferRequestedOutput

    return [InferRequestedOutput(name) for name in _OUTPUTS]


def answer(result: Any, count: int, hidden: int) -> Embeddings:
    """Read and check an ``InferResult``: a server whose backend has died may answer with empty tensors.

    Raises:
        ServerError: the result does not hold ``count`` finite embeddings of ``hidden`` values.
    """
    vectors, tokens, cut = (result.as_numpy(name) for name in _OUTPUTS)
    found = [None if x is None else list(x.shape) for x in (vectors, tokens, cut)]
    if found != [[count, hidden], [count, 1], [count, 1]]:
        raise ServerError(
            f"expected embeddings [{count}, {hidden}], token counts and flags [{count}, 1] from the server, found "
            f"shapes {', '.join(map(str, found))}; its log says why"
        )
    if not np.isfinite(vectors).all():
        raise ServerError("expected embeddings from the server, found NaN or infinity; its log may say why")
    return Embeddings(vectors.astype(np.float32, copy=False), tokens[:, 0].astype(np.int32), cut[:, 0].astype(bool))


def refused(error: RefusedError, rows: np.ndarray) -> RefusedError:
    """The server's refusal with the caller's number of the text, instead of its number in the request.

    Args:
        error: names a text as ``text 3``.
        rows: the caller's number of each text of the request.
    """

    def renumbered(found: re.Match[str]) -> str:
        number = int(found[1])
        return f"text {rows[number]}" if number < len(rows) else found[0]

    return RefusedError(re.sub(r"\btext (\d+)", renumbered, str(error)))


def joined(parts: Sequence[tuple[np.ndarray, Embeddings]], count: int, hidden: int) -> Embeddings:
    """The answers to all requests of a call as one, in the order of the texts.

    Args:
        parts: the caller's numbers of a request's texts, and its answer.
        count: number of texts.
        hidden: length of an embedding.
    """
    whole = Embeddings(
        np.empty((count, hidden), np.float32), np.empty(count, dtype=np.int32), np.empty(count, dtype=bool)
    )
    for rows, part in parts:
        whole.vectors[rows], whole.tokens[rows], whole.truncated[rows] = part.vectors, part.tokens, part.truncated
    return whole
