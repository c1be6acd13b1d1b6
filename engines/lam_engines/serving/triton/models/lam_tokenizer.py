"""``lam_tokenizer``: texts to token ids, in Triton's Python backend.

The parameters are ``vocab_size``, ``max_tokens``, ``max_bytes`` and ``truncation``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import triton_python_backend_utils as pb_utils

from ....contract import INPUT_IDS, TEXT, TOKEN_COUNT, TOKENIZER, TRUNCATED
from ....embedding.tokenizer import Tokenizer
from .requests import RequestError, answer, output, parameters_of, refusal


class TritonPythonModel:
    """Texts ``[B, 1]`` to ``input_ids`` ``[B, n]``, padded with zeros, ``token_count`` and ``truncated`` ``[B, 1]``."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = parameters_of(args)
        content = (Path(__file__).parents[4] / TOKENIZER).read_bytes()
        self.tokenizer = Tokenizer(content, int(parameters["vocab_size"]))
        self.max_tokens = int(parameters["max_tokens"])
        self.max_bytes = int(parameters["max_bytes"])
        self.cuts = parameters["truncation"] == "truncate"
        self.cutter = tokenizers.Tokenizer.from_str(self.tokenizer.to_json())
        self.cutter.enable_truncation(self.max_tokens)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        texts: list[str] = []
        parts: list[_Texts | RequestError] = []
        for request in requests:
            try:
                part = self.texts_of(request)
                parts.append(part)
                texts += part.texts
            except RequestError as refused:
                parts.append(refused)
        ids = iter(self.tokenizer.encode(texts) if texts else [])
        return [
            refusal(part) if isinstance(part, RequestError) else self.answer_for(part, [next(ids) for _ in part.texts])
            for part in parts
        ]

    def texts_of(self, request: Any) -> "_Texts":
        found = _Texts([], [])
        for i, content in enumerate(pb_utils.get_input_tensor_by_name(request, TEXT).as_numpy().ravel()):
            long = len(content) > self.max_bytes
            if long and not self.cuts:
                raise RequestError(
                    f"expected texts of at most {self.max_bytes:,} bytes, found {len(content):,} in text {i}; cut it"
                )
            try:
                text = (_cut(content, self.max_bytes) if long else content).decode("utf-8")
            except UnicodeDecodeError as error:
                raise RequestError(
                    f"expected UTF-8, found the byte 0x{content[error.start]:02x} at position {error.start:,} of text "
                    f"{i}; send it as UTF-8"
                ) from None
            found.texts.append(text)
            found.truncated.append(long)
        return found

    def answer_for(self, part: "_Texts", ids: list[np.ndarray]) -> Any:
        long = [i for i, row in enumerate(ids) if len(row) > self.max_tokens]
        if long and not self.cuts:
            return refusal(
                RequestError(
                    f"expected texts of at most {self.max_tokens:,} tokens, found {len(ids[long[0]]):,} in text "
                    f"{long[0]}; cut it, or serve with another limit or with truncation"
                )
            )
        for i in long:
            ids[i] = np.asarray(self.cutter.encode(part.texts[i]).ids, dtype=np.int64)
            part.truncated[i] = True
        counts = np.array([[len(row)] for row in ids], dtype=np.int32)
        input_ids = np.zeros((len(ids), max(1, counts.max())), dtype=np.int32)
        for i, row in enumerate(ids):
            input_ids[i, : len(row)] = row
        truncated = np.array(part.truncated).reshape(-1, 1)
        return answer(output(INPUT_IDS, input_ids), output(TOKEN_COUNT, counts), output(TRUNCATED, truncated))


@dataclass
class _Texts:
    """The texts of a request."""

    texts: list[str]
    truncated: list[bool]
    """Whether each text was cut."""


def _cut(content: bytes, size: int) -> bytes:
    """The first ``size`` bytes, without a cut character at the end."""
    while size and content[size] & 0xC0 == 0x80:
        size -= 1
    return content[:size]
