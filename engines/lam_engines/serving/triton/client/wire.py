"""Texts to Triton's request and its answer to embeddings: what the sync and the async client share."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....embedding.batching import batches
from ....embedding.tokenizer import without_surrogates
from .errors import RefusedError, ServerError

TEXT, EMBEDDING, TOKENS, TRUNCATED = "text", "sentence_embedding", "token_count", "truncated"
"""The ensemble's input and outputs."""
_BATCH_CHARACTERS = 1 << 20
"""Of one request, as if its texts were padded to the longest: texts of like length together, and small messages."""
CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's own pause between attempts to connect grows to two minutes, and calls fail at once in between.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


@dataclass(frozen=True)
class Embeddings:
    """What the server says of texts, in their order."""

    vectors: np.ndarray
    """``[n, hidden]`` float32, unit length."""
    tokens: np.ndarray
    """``[n]`` int32: tokens of each that were embedded, special ones included."""
    truncated: np.ndarray
    """``[n]`` bool: whether it was cut to the server's maximum length."""


@dataclass(frozen=True)
class ServedModel:
    """What a client must know of the model before it asks."""

    max_batch: int
    hidden_size: int

    @staticmethod
    def of(config: Any) -> "ServedModel":
        """From the server's ``ModelConfig``.

        Raises:
            ServerError: it is another kind of model.
        """
        inputs = {tensor.name for tensor in config.input}
        sizes = {tensor.name: list(tensor.dims) for tensor in config.output}
        if inputs != {TEXT} or not {EMBEDDING, TOKENS, TRUNCATED} <= set(sizes):
            raise ServerError(
                f"expected a model from {TEXT} to {EMBEDDING}, {TOKENS} and {TRUNCATED}, found {config.name} from "
                f"{', '.join(sorted(inputs))} to {', '.join(sorted(sizes))}; make the "
                f"repository again: lam-export triton"
            )
        return ServedModel(max(1, config.max_batch_size), sizes[EMBEDDING][-1])

    def parts(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Indices of the texts of each request, the longest texts first."""
        return batches([len(t) for t in texts], batch_tokens=_BATCH_CHARACTERS, batch_size=self.max_batch)


def inputs(texts: Sequence[str]) -> list[Any]:
    """The tensors of one request."""
    from tritonclient.grpc import InferInput

    content = np.array([without_surrogates(text).encode() for text in texts], dtype=object)
    tensor = InferInput(TEXT, [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(content[:, None])
    return [tensor]


def outputs() -> list[Any]:
    """The tensors that are asked for."""
    from tritonclient.grpc import InferRequestedOutput

    return [InferRequestedOutput(name) for name in (EMBEDDING, TOKENS, TRUNCATED)]


def answer(result: Any, count: int, hidden: int) -> Embeddings:
    """Check an ``InferResult``: a server whose backend has died may answer with tensors of nothing.

    Raises:
        ServerError: it has not ``count`` finite embeddings of ``hidden`` figures.
    """
    vectors, tokens, cut = (result.as_numpy(name) for name in (EMBEDDING, TOKENS, TRUNCATED))
    found = [None if x is None else list(x.shape) for x in (vectors, tokens, cut)]
    if found != [[count, hidden], [count, 1], [count, 1]]:
        raise ServerError(
            f"expected embeddings [{count}, {hidden}], token counts and flags [{count}, 1] from the server, found "
            f"shapes {', '.join(map(str, found))}; its log says why"
        )
    if not np.isfinite(vectors).all():
        raise ServerError("expected embeddings from the server, found NaN or infinite figures; its log may say why")
    return Embeddings(vectors.astype(np.float32, copy=False), tokens[:, 0].astype(np.int32), cut[:, 0].astype(bool))


def refused(error: RefusedError, rows: np.ndarray) -> RefusedError:
    """The server's refusal of one request, which counts that request's texts, in the caller's numbers.

    Args:
        error: which names a text as ``text 3``.
        rows: the caller's number of each text of the request.
    """

    def renumbered(found: re.Match[str]) -> str:
        number = int(found[1])
        return f"text {rows[number]}" if number < len(rows) else found[0]

    return RefusedError(re.sub(r"\btext (\d+)", renumbered, str(error)))


def joined(parts: Sequence[tuple[np.ndarray, Embeddings]], count: int, hidden: int) -> Embeddings:
    """Answers to the parts of ``count`` texts, each with the indices of its texts, in the texts' order."""
    whole = Embeddings(
        np.empty((count, hidden), np.float32), np.empty(count, dtype=np.int32), np.empty(count, dtype=bool)
    )
    for rows, part in parts:
        whole.vectors[rows], whole.tokens[rows], whole.truncated[rows] = part.vectors, part.tokens, part.truncated
    return whole
