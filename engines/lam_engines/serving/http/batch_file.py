"""OpenAI's Batch format without a server: a file of requests to a file of answers, and one of errors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import orjson

from ...contract import MAX_TEXT_BYTES, OPENAI_BATCH
from ...embedding.batching import windows
from ...embedding.engine import EmbeddingEngine
from ...errors import EngineError
from ...files.formats import Format, format_of
from ...files.lines import Lines
from ...files.reasons import reasons_beside
from ...files.rows import what_is_too_large
from ...files.writers import OutputError, open_output
from .bodies import check_dimensions, decode, listed
from .errors import ApiError, no_model
from .schemas import OpenAiRequest, openai_answer

_URL = "/v1/embeddings"
_LINE = 32 << 20
"""Characters of the longest line; as much as a request to the server may have."""
_TEXT_COST = 1024
"""Characters that a text counts for besides its own: its embedding is held until the request is complete."""


class BatchLine(msgspec.Struct):
    """A line of the input."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


@dataclass
class Answered:
    """What came of a file of requests."""

    requests: int = 0
    failed: int = 0
    """Requests that were answered with an error."""
    texts: int = 0


@dataclass(frozen=True)
class _Model:
    name: str
    hidden_size: int


@dataclass
class _Request:
    line: int
    custom_id: str | None = None
    asked: OpenAiRequest | None = None
    texts: list[str] = field(default_factory=list)
    error: ApiError | None = None
    """Why there are no texts."""

    @property
    def size(self) -> int:
        return sum(map(len, self.texts)) + _TEXT_COST * (1 + len(self.texts))


def embed_batch(
    engine: EmbeddingEngine,
    source: Path,
    output: Path,
    *,
    force: bool = False,
    batch_tokens: int | None = None,
    max_text_bytes: int = MAX_TEXT_BYTES,
    progress: Callable[[int, float], None] = lambda texts, read: None,
) -> Answered:
    """Answer the requests of a file in OpenAI's Batch format, in constant memory.

    A line of the input is ``{"custom_id", "method": "POST", "url": "/v1/embeddings", "body"}``. Its model is the
    bundle's folder's name. The output has a line for every request that was embedded, in the input's order. Requests
    that were not are in ``OUTPUT.errors.jsonl``, with the answer of OpenAI's API.

    Args:
        engine: a loaded bundle.
        source: the file, possibly compressed; ``-`` for standard input.
        output: a ``.jsonl`` file. It and the errors appear when both are complete.
        force: replace existing files.
        batch_tokens: as for :meth:`~lam_engines.embedding.engine.EmbeddingEngine.embed`.
        max_text_bytes: largest size of a text in UTF-8.
        progress: called with a number of texts that are done, and the bytes of the input that were read for them.

    Raises:
        InputError: the file cannot be read.
        OutputError: the output cannot be written.
        EngineError: the engine fails, or gives no finite embeddings.
    """
    if output.suffix.lower() != ".jsonl":
        raise OutputError(
            f"expected an output file ending in .jsonl with --format {OPENAI_BATCH}, found {output}; rename it"
        )
    found = format_of(source.name) or Format("jsonl")
    done = Answered()
    with ExitStack() as stack:
        lines = Lines(source, None, compression=found.compression, most=_LINE, lenient=True)
        stack.callback(lines.close)
        answers = stack.enter_context(open_output(output, force=force))
        beside = reasons_beside(output)
        errors = stack.enter_context(open_output(beside, force=force))
        model = _Model(engine.bundle.path.resolve().name, engine.model.hidden_size)
        before = 0
        for window in windows(_requests(lines, model, max_text_bytes), measure=lambda request: request.size):
            texts = [text for request in window for text in request.texts]
            share = (lines.position - before) / max(1, len(texts))
            before = lines.position
            try:
                _answer(engine, window, texts, batch_tokens, partial(_told, progress, share), answers, errors)
            except OSError as error:
                raise OutputError(
                    f"{output}: expected room for the answers, found: {error.strerror}; make room"
                ) from error
            done.requests += len(window)
            done.failed += sum(request.error is not None for request in window)
            done.texts += len(texts)
    if not done.failed:
        beside.unlink(missing_ok=True)
    return done


def _told(progress: Callable[[int, float], None], share: float, texts: int) -> None:
    progress(texts, texts * share)


def _answer(
    engine: EmbeddingEngine,
    window: Sequence[_Request],
    texts: Sequence[str],
    batch_tokens: int | None,
    progress: Callable[[int], None],
    answers: BinaryIO,
    errors: BinaryIO,
) -> None:
    """Embed the texts of some requests, and write a line for each."""
    tokens = np.array([len(ids) for ids in engine.tokenizer.encode(texts)], np.int64)
    fits = np.ones(len(texts), bool) if engine.max_tokens is None else tokens <= engine.max_tokens
    vectors = np.zeros((len(texts), engine.model.hidden_size), np.float32)
    fitting = [text for text, taken in zip(texts, fits, strict=True) if taken]
    vectors[fits] = engine.embed(fitting, batch_tokens=batch_tokens, progress=progress)
    if not np.isfinite(vectors).all():
        raise EngineError("expected finite embeddings, found NaN or infinity from the engine; use the fp32 model")
    start = 0
    for request in window:
        rows = slice(start, start := start + len(request.texts))
        if not fits[rows].all():
            longest = int(tokens[rows].max())
            request.error = _too_long(f"expected texts of at most {engine.max_tokens:,} tokens, found {longest:,}")
        if request.error is None:
            assert request.asked is not None  # noqa: S101 - it has no error
            body = openai_answer(request.asked, vectors[rows], tokens[rows])
            _write(answers, request, response=_response(request, 200, body))
        elif request.asked is None:
            _write(errors, request, error={"code": request.error.code, "message": request.error.message})
        else:
            body = request.error.body(_URL)
            _write(errors, request, response=_response(request, request.error.status, body))


def _response(request: _Request, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": f"req_{request.line}", "body": body}


def _write(file: BinaryIO, request: _Request, *, response: Any = None, error: Any = None) -> None:
    line = {"id": f"batch_req_{request.line}", "custom_id": request.custom_id, "response": response, "error": error}
    file.write(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")


def _requests(lines: Lines, model: _Model, most: int) -> Iterator[_Request]:
    seen: set[str] = set()
    for line in lines:
        mistake, lines.mistake = lines.mistake, None
        if mistake is None and not line.strip():
            continue
        request = _Request(lines.number)
        try:
            if mistake is not None:
                raise _invalid(str(mistake))
            _read(request, line, seen, model, most)
        except ApiError as error:
            request.error, request.texts = error, []
        yield request


def _read(request: _Request, line: str, seen: set[str], model: _Model, most: int) -> None:
    """Fill in a request from its line.

    Raises:
        ApiError: it cannot be answered.
    """
    try:
        found, _ = decode(line.encode(), BatchLine)
    except ApiError as error:
        raise _invalid(f"line {request.line}: {error.message}") from None
    request.custom_id = found.custom_id
    if found.custom_id in seen:
        raise ApiError(400, f"custom_id: {found.custom_id[:100]!r} is in an earlier line", code="duplicate_custom_id")
    seen.add(found.custom_id)
    if (found.method, found.url) != ("POST", _URL):
        message = f"expected POST {_URL}, found {found.method[:20]} {found.url[:100]}"
        raise ApiError(400, message, param="url", code="invalid_url")
    request.asked = OpenAiRequest(model.name, "")  # from here on, errors are those of the API
    asked, _ = decode(bytes(found.body), OpenAiRequest)
    if asked.model != model.name:
        raise no_model(asked.model, [model.name])
    texts = listed(asked.input, "input")
    check_dimensions(asked.dimensions, model.hidden_size)
    if asked.truncate:
        raise ApiError(400, "truncate: expected none, because texts may have any length here", param="truncate")
    for text in texts:
        if too_large := what_is_too_large(text, most):
            raise _too_long(too_large)
    request.asked, request.texts = asked, texts


def _invalid(message: str) -> ApiError:
    return ApiError(400, message, code="invalid_json_line")


def _too_long(message: str) -> ApiError:
    return ApiError(413, f"{message}; cut it", param="input", code="text_too_long")
