"""The fields of requests and answers. Their names are those of the three APIs."""

from base64 import b64encode
from typing import Any, Literal

import msgspec
import numpy as np


class OpenAiRequest(msgspec.Struct):
    """``POST /v1/embeddings``."""

    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None
    """Accepted and ignored: no user data is kept."""
    truncate: bool | None = None
    """Not OpenAI's: cut texts that are too long."""


def openai_answer(asked: OpenAiRequest, vectors: np.ndarray, tokens: np.ndarray) -> dict[str, Any]:
    """The body of OpenAI's answer.

    Args:
        asked: the request.
        vectors: the embeddings of its texts, ``[n, hidden]`` float32.
        tokens: of each text; ``[n]``.
    """
    base64, total = asked.encoding_format == "base64", int(tokens.sum())
    rows = [b64encode(row.tobytes()).decode() for row in vectors.astype("<f4")] if base64 else vectors
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)],
        "model": asked.model,
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }


class TeiRequest(msgspec.Struct):
    """``POST /embed``."""

    inputs: str | list[str]
    truncate: bool | None = None
    normalize: bool | None = None
    prompt_name: str | None = None
    truncation_direction: str | None = None
    dimensions: int | None = None


class TokenizeRequest(msgspec.Struct):
    """``POST /tokenize``."""

    inputs: str | list[str]
    add_special_tokens: bool | None = None


class KserveInput(msgspec.Struct):
    """An input of a :class:`KserveRequest`."""

    name: str
    datatype: str
    shape: list[int]
    data: list[str]


class KserveOutput(msgspec.Struct):
    """An output that is asked for."""

    name: str


class KserveRequest(msgspec.Struct):
    """``POST /v2/models/NAME/infer``."""

    inputs: list[KserveInput]
    outputs: list[KserveOutput] | None = None
    id: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
