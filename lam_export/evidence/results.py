"""The embeddings of a subject for a set of texts: computed piece by piece, cached, saved and loaded.

Every file is Polygraphy's ``RunResults`` as JSON, with one runner and one iteration. Under the key ``lam_export`` it
also names the subject and the texts. Polygraphy's own tools can read it.
"""

import hashlib
import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from lam_engines.bundles.manifest import Sha256
from lam_engines.bundles.whole import write_whole
from lam_engines.contract import CACHE_VARIABLE, SENTENCE_EMBEDDING
from lam_engines.embedding.batching import DEFAULT_BATCH_TOKENS, batches, pad
from lam_engines.errors import LamError, first_line
from lam_engines.machine import cache_folder

from .schema import Record, SubjectInfo
from .subject import Subject
from .subjects.function_engine import Embed

_HEADER = "lam_export"
_FORMAT: Final = 1
_SHARD_TEXTS = 512
_SHARD_TOKENS = 8192
"""Largest size of a shard. An interrupt loses at most one: about ten seconds of a float64 reference on one core."""
_ONE_IN = 256
"""On average, one text in this many ends a shard."""


@dataclass(frozen=True)
class Results:
    """The embeddings that one subject gave."""

    subject: SubjectInfo
    texts_sha256: str
    """``Corpus.sha256`` of the texts."""
    vectors: np.ndarray
    """``[n, hidden]``, float32 or float64, in the order of the texts."""
    seconds: float
    """Seconds of the original, uncached run; not a benchmark."""


NOT_KEPT = "embeddings are not kept"
"""How the sentence about a cache that takes nothing begins."""


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
    """The folder that caches results between runs: ``$LAM_EXPORT_CACHE/results``, by default in the user's cache.

    A text takes about 4 KB for each subject in float64, and half of that in float32. Nothing is ever removed; to clear
    the cache, delete the folder.
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
    warn: Callable[[str], None] = lambda message: None,
) -> tuple[np.ndarray, float]:
    """Embed tokenised texts. Texts that the same subject embedded before come from the cache.

    The texts are cut into shards. Each shard is batched by itself and cached in its own file. So an interrupt costs at
    most one shard. Cached results equal those of a run without a cache to the last bit, even if an artefact lets the
    texts of a batch influence one another.

    Args:
        subject: what is run; its key identifies it in the cache.
        embed: the loaded subject.
        ids: ``[n]`` int64 token ids of each text; at least one text.
        pad_token_id: what batches are padded with.
        cache: a folder, for instance :func:`results_folder`; None caches nothing. A damaged file is computed again,
            and a folder that cannot be written to, or is full, is no error.
        progress: called with the number of texts that were done since the last call.
        warn: told once if embeddings cannot be kept in the cache; the sentence begins with :data:`NOT_KEPT`.

    Returns:
        ``[len(ids), hidden]`` in the order of ``ids``, and the seconds of the original, uncached computation.

    Raises:
        LamError: the subject cannot embed a batch. The shards before it stay in the cache.
    """
    vectors: list[np.ndarray] = []
    seconds, lost = 0.0, False
    key = "" if cache is None else subject.key()
    for shard in _shards(ids):
        digest = _ids_sha256(shard)
        path = None if cache is None else cache / f"{_shard_key(key, digest, pad_token_id)}.json"
        results = None if path is None else _kept(path, digest, len(shard))
        if results is None:
            results = _computed(subject.info, embed, shard, digest, pad_token_id, progress)
            if path is not None:
                try:
                    _write(path, results)
                except OSError as error:
                    if not lost:
                        warn(
                            f"{NOT_KEPT} in {cache} ({error.strerror}); make room there, or name another folder: "
                            f"{CACHE_VARIABLE}=DIR"
                        )
                    lost = True
        else:
            progress(len(shard))
        vectors.append(results.vectors)
        seconds += results.seconds
    return np.concatenate(vectors), seconds


def save_results(path: Path, results: Results) -> None:
    """Write a subject's embeddings to one file, whole or not at all.

    Raises:
        LamError: the file cannot be written.
    """
    try:
        _write(path, results)
    except OSError as error:
        raise LamError(f"cannot write results to {path} ({error.strerror}); name a file in another folder") from error


def load_results(path: Path, texts_sha256: str) -> Results:
    """Read what :func:`save_results` wrote, on this or another machine.

    Args:
        path: the file.
        texts_sha256: ``Corpus.sha256`` of the texts that must have been embedded.

    Raises:
        LamError: the file is missing, damaged, of another kind, or holds the results of other texts.
    """
    try:
        results = _read(path)
    except OSError as error:
        raise LamError(
            f"expected results of lam-export report at {path}, found none ({error.strerror}); check the path"
        ) from None
    except Exception as error:  # parsers of foreign bytes may raise anything
        raise LamError(
            f"expected results of lam-export report in {path}, found a file that is damaged or of another kind "
            f"({first_line(error)}); copy it again, or save them again"
        ) from None
    if results.texts_sha256 != texts_sha256:
        raise LamError(
            f"expected results of the texts of this report (sha256 {texts_sha256[:12]}...), found those of "
            f"{len(results.vectors)} others ({results.texts_sha256[:12]}...) in {path}; name the --texts and --sts "
            f"that they were saved with, or save them again"
        )
    return results


def _shards(ids: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Cut the texts into shards. A text's content decides where a shard ends.

    So adding or removing a text moves only the cuts next to it.
    """
    shard: list[np.ndarray] = []
    tokens = 0
    for row in ids:
        shard.append(row)
        tokens += len(row)
        ends = zlib.crc32(row.tobytes(), 1) % _ONE_IN == 0  # seed 1: with 0, an empty row would always end a shard
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
    """Raises OSError if the file cannot be read, and any other error if :func:`_write` did not write it."""
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
