"""The fields of requests. Their names are those of the three APIs."""

from typing import Literal

import msgspec


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
