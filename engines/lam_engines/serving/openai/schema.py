"""OpenAI's requests for embeddings, and the answers to them."""

from base64 import b64encode
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..triton.client import Embeddings
from .errors import ApiError

MAX_INPUTS = 2048
"""Largest number of texts in a request, as at OpenAI."""


class EmbeddingRequest(BaseModel):
    """``POST /v1/embeddings``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    input: str | list[Any]
    """:meth:`texts` checks this field: pydantic would report every item of a wrong list."""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None
    """Accepted and ignored: no user data is kept."""

    @staticmethod
    def of(body: bytes) -> "EmbeddingRequest":
        """Read a request.

        Raises:
            ApiError: 400; the body is no JSON, or not a request for embeddings.
        """
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ApiError(400, f"expected JSON in UTF-8, found something else: {error}") from None
        try:
            return EmbeddingRequest.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])[:100] if first["loc"] else None
            if first["type"] == "extra_forbidden":
                raise ApiError(400, f"unrecognized request argument: {name}", param=name) from None
            raise ApiError(400, f"{name or 'body'}: {first['msg']}", param=name) from None

    def texts(self) -> list[str]:
        """The texts to embed.

        Raises:
            ApiError: 400; there are no texts, too many, or something else than texts.
        """
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not 1 <= len(texts) <= MAX_INPUTS:
            raise ApiError(400, f"input: expected 1 to {MAX_INPUTS} texts, found {len(texts)}", param="input")
        for i, text in enumerate(texts):
            if type(text) in (int, list):
                raise ApiError(
                    400,
                    "input: expected text, found token ids, which belong to another tokenizer than this model's; send "
                    "the text itself (langchain_openai: check_embedding_ctx_length=False)",
                    param="input",
                    code="token_ids_not_supported",
                )
            if not isinstance(text, str):
                raise ApiError(400, f"input[{i}]: expected a string, found {type(text).__name__}", param="input")
        return texts

    def check_size(self, hidden: int) -> None:
        """Refuse to shorten embeddings.

        Raises:
            ApiError: 400; ``dimensions`` is not the model's size.
        """
        if self.dimensions not in (None, hidden):
            raise ApiError(
                400,
                f"dimensions: expected {hidden}, or none, found {self.dimensions}; embeddings of this model cannot be "
                f"shortened",
                param="dimensions",
            )


def answer(request: EmbeddingRequest, found: Embeddings) -> bytes:
    """The body of the answer: JSON in UTF-8."""
    base64 = request.encoding_format == "base64"
    tokens = int(found.tokens.sum())
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": i,
                    "embedding": b64encode(vector.astype("<f4").tobytes()).decode() if base64 else vector,
                }
                for i, vector in enumerate(found.vectors)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
