"""OpenAI's requests for embeddings, and answers to them."""

from base64 import b64encode
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..triton.client import Embeddings
from .errors import ApiError

MAX_INPUTS = 2048
"""Texts of one request, as at OpenAI."""


class EmbeddingRequest(BaseModel):
    """``POST /v1/embeddings``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    input: str | list[Any]
    """Checked by :meth:`texts`: pydantic would name every text of a list that holds something else."""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None
    """Taken and not used: nothing is kept of who asks."""

    @staticmethod
    def of(body: bytes) -> "EmbeddingRequest":
        """Read a request.

        Raises:
            ApiError: 400; it is no JSON, or not this.
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
        """What is to be embedded.

        Raises:
            ApiError: 400; nothing, too much, or something that is no text.
        """
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not 1 <= len(texts) <= MAX_INPUTS:
            raise ApiError(400, f"input: expected 1 to {MAX_INPUTS} texts, found {len(texts)}", param="input")
        for i, text in enumerate(texts):
            if type(text) in (int, list):
                raise ApiError(
                    400,
                    "input: expected text, found token ids. They would be of another tokenizer than this model's, and "
                    "are not embedded; send the text itself (langchain_openai: check_embedding_ctx_length=False)",
                    param="input",
                    code="token_ids_not_supported",
                )
            if not isinstance(text, str):
                raise ApiError(400, f"input[{i}]: expected a string, found {type(text).__name__}", param="input")
        return texts

    def check_size(self, hidden: int) -> None:
        """Refuse to shorten embeddings.

        Raises:
            ApiError: 400; ``dimensions`` is another size than the model's.
        """
        if self.dimensions not in (None, hidden):
            raise ApiError(
                400,
                f"dimensions: expected {hidden}, or none, found {self.dimensions}; this model was not trained so that "
                f"the first figures of an embedding are one too",
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
