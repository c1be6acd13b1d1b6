"""What a subject gave for a set of texts: computed piece by piece, kept, saved, and read again.

Every file is Polygraphy's ``RunResults`` as JSON, one runner with one iteration, and in it, under ``lam_export``, what
they are of. Polygraphy's own tools read it.
"""

import hashlib
import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from lam_engines.bundles.manifest import Sha256
from lam_engines.bundles.whole import write_whole
from lam_engines.contract import SENTENCE_EMBEDDING
from lam_engines.embedding.batching import DEFAULT_BATCH_TOKENS, batches, pad
from lam_engines.errors import LamError
from lam_engines.machine import cache_folder

from .schema import Record, SubjectInfo
from .subject import Subject
from .subjects.function_engine import Embed

_HEADER = "lam_export"
_FORMAT: Final = 1
_SHARD_TEXTS = 512
_SHARD_TOKENS = 8192
"""A shard is at most so large: what an interrupt can cost, about ten seconds of a float64 reference on one core."""
_ONE_IN = 256
"""One text in so many ends a shard."""


@dataclass(frozen=True)
class Results:
    """The embeddings that one subject gave."""

    subject: SubjectInfo
    texts_sha256: str
    """Of the texts, ``Corpus.sha256``."""
    vectors: np.ndarray
    """``[n, hidden]``, float32 or float64, in the order of the texts."""
    seconds: float
    """Seconds of the original, uncached run; not a benchmark."""


class _Header(Record):
    """What a file of results says of its vectors."""

    format: Literal[1]
    """Version of the file's format."""
    subject: SubjectInfo
    """Subject that gave the vectors."""
    texts_sha256: Sha256
    """SHA-256 of the texts that were embedded."""
    vectors_sha256: Sha256
    """SHA-256 of the vectors, their dtype and their shape."""


def results_folder() -> Path:
    """Where results are kept between runs: ``$LAM_EXPORT_CACHE/results``, by default in the user's cache folder.

    About 4 KB a text and subject in float64, half of that in float32. Nothing in it is removed; delete it to clear it.
    """
    return cache_folder() / "results"


def embeddings(
    subject: Subject,
    embed: Embed,
    ids: Sequence[np.ndarray],
    pad_token_id: int,
    *,
    cache: Path | None,
    progress: Callable[[int], None],
) -> tuple[np.ndarray, float]:
    """Embed tokenised texts, or take from the cache what the same subject gave for the same texts before.

    The texts are cut into shards, each batched by itself and kept in a file of its own. So an interrupt costs one shard
    at most, and results from the cache are those of a run without it, to the last bit, even of an artefact that lets
    the texts of a batch touch one another.

    Args:
        subject: what is run; its key tells the same from another.
        embed: the loaded subject.
        ids: ``[n]`` int64 token ids of each text; at least one text.
        pad_token_id: what batches are padded with.
        cache: a folder, :func:`results_folder` for instance; None keeps nothing. A damaged file in it is computed
            again, and a folder that cannot be written is no error.
        progress: called with the number of texts that are done since the last call.

    Returns:
        ``[len(ids), hidden]`` in the order of ``ids``, and the seconds that they took when they were computed.

    Raises:
        LamError: the subject cannot embed a batch; what was done before is kept.
    """
    vectors: list[np.ndarray] = []
    seconds = 0.0
    key = "" if cache is None else subject.key()
    for shard in _shards(ids):
        digest = _ids_sha256(shard)
        path = None if cache is None else cache / f"{_shard_key(key, digest, pad_token_id)}.json"
        results = None if path is None else _kept(path, digest, len(shard))
        if results is None:
            results = _computed(subject.info, embed, shard, digest, pad_token_id, progress)
            if path is not None:
                with suppress(OSError):
                    _write(path, results)
        else:
            progress(len(shard))
        vectors.append(results.vectors)
        seconds += results.seconds
    return np.concatenate(vectors), seconds


def save_results(path: Path, results: Results) -> None:
    """Write what a subject gave to one file, whole or not at all.

    Raises:
        LamError: the file cannot be written.
    """
    try:
        _write(path, results)
    except OSError as error:
        raise LamError(f"cannot write results to {path} ({error.strerror}); name a file in another folder") from error


def load_results(path: Path, texts_sha256: str) -> Results:
    """Read what :func:`save_results` wrote, on whatever machine.

    Args:
        path: the file.
        texts_sha256: of the texts that the results must be of, ``Corpus.sha256``.

    Raises:
        LamError: there is no such file, it is damaged or of another kind, or of other texts.
    """
    try:
        results = _read(path)
    except OSError as error:
        raise LamError(
            f"expected results of lam-export report at {path}, found none ({error.strerror}); check the path"
        ) from None
    except Exception as error:  # the parsers of foreign bytes raise whatever comes to hand
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise LamError(
            f"expected results of lam-export report in {path}, found a file that is damaged or of another kind "
            f"({reason}); copy it again, or save them again"
        ) from None
    if results.texts_sha256 != texts_sha256:
        raise LamError(
            f"expected results of the texts of this report (sha256 {texts_sha256[:12]}...), found those of "
            f"{len(results.vectors)} others ({results.texts_sha256[:12]}...) in {path}; name the --texts and --sts "
            f"that they were saved with, or save them again"
        )
    return results


def _shards(ids: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Cut where the texts themselves say so: one that is added or taken out moves no cut but those next to it."""
    shard: list[np.ndarray] = []
    tokens = 0
    for row in ids:
        shard.append(row)
        tokens += len(row)
        ends = zlib.crc32(row.tobytes(), 1) % _ONE_IN == 0  # from 1: from 0 a text of no tokens would always end one
        if ends or len(shard) == _SHARD_TEXTS or tokens >= _SHARD_TOKENS:
            yield shard
            shard, tokens = [], 0
    if shard:
        yield shard


def _ids_sha256(ids: Sequence[np.ndarray]) -> str:
    return hashlib.sha256(json.dumps([row.tolist() for row in ids]).encode("ascii")).hexdigest()


def _shard_key(key: str, digest: str, pad_token_id: int) -> str:
    parts = [_FORMAT, key, digest, pad_token_id, DEFAULT_BATCH_TOKENS]
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def _computed(
    info: SubjectInfo,
    embed: Embed,
    ids: Sequence[np.ndarray],
    digest: str,
    pad_token_id: int,
    progress: Callable[[int], None],
) -> Results:
    found: dict[int, np.ndarray] = {}
    seconds = 0.0
    for rows in batches([len(row) for row in ids], batch_tokens=DEFAULT_BATCH_TOKENS):
        batch = pad([ids[row] for row in rows], pad_token_id)
        start = time.perf_counter()
        vectors = embed(*batch)
        seconds += time.perf_counter() - start
        found.update(zip(rows.tolist(), vectors, strict=True))
        progress(len(rows))
    return Results(info, digest, np.stack([found[row] for row in range(len(ids))]), seconds)


def _kept(path: Path, digest: str, texts: int) -> Results | None:
    try:
        results = _read(path)
    except Exception:  # absent, damaged, or of an older version
        return None
    return results if results.texts_sha256 == digest and len(results.vectors) == texts else None


def _write(path: Path, results: Results) -> None:
    from polygraphy.comparator import RunResults
    from polygraphy.logger import G_LOGGER

    vectors = np.ascontiguousarray(results.vectors)
    runs = RunResults()
    runs.add([{SENTENCE_EMBEDDING: vectors}], runtime=results.seconds, runner_name=results.subject.name)
    header = _Header(
        format=_FORMAT,
        subject=results.subject,
        texts_sha256=results.texts_sha256,
        vectors_sha256=_vectors_sha256(vectors),
    )
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        content = json.loads(runs.to_json())
    content[_HEADER] = header.model_dump(mode="json")
    write_whole(path, json.dumps(content, indent=1).encode("ascii"))


def _read(path: Path) -> Results:
    """Raises OSError if it cannot be read, or anything at all if it is not what :func:`_write` wrote."""
    from polygraphy.comparator import RunResults
    from polygraphy.logger import G_LOGGER

    content = path.read_text(encoding="ascii")
    header = _Header.model_validate(json.loads(content)[_HEADER])
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        runs = RunResults.from_json(content)
    ((_, (iteration,)),) = runs.items()
    vectors = iteration[SENTENCE_EMBEDDING]
    if vectors.ndim != 2 or _vectors_sha256(vectors) != header.vectors_sha256 or not math.isfinite(iteration.runtime):
        raise ValueError("it differs from its own sha256")
    return Results(header.subject, header.texts_sha256, vectors, float(iteration.runtime))


def _vectors_sha256(vectors: np.ndarray) -> str:
    digest = hashlib.sha256(f"{vectors.dtype.str} {vectors.shape}".encode("ascii"))
    digest.update(np.ascontiguousarray(vectors).data)
    return digest.hexdigest()
