"""Build a report: run the reference once, then run, measure and judge each candidate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import ATTENTION_MASK, INPUT_IDS
from lam_engines.embedding.batching import batches, pad
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.embedding.tokenizer import tokenizer_of
from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_export.evidence.corpus import Corpus
from lam_export.evidence.metrics import RowErrors, row_errors
from lam_export.evidence.provenance import made
from lam_export.evidence.results import Results, embeddings
from lam_export.evidence.schema import Sts
from lam_export.evidence.sts import cosines, sts
from lam_export.evidence.subject import Subject
from lam_export.evidence.texts import in_words, not_finite, readable, zero_unless_finite

from .measures import buckets, worst_rows
from .neighbours import Nearest, nearest, recall
from .parts import part_errors
from .schema import Comparison, PartError, Report, Series
from .stability import Moved, sample, stability
from .thresholds import Limits, judge

if TYPE_CHECKING:
    from lam_export.model.encoder import Encoder

START = 60
"""Characters of each text that a report keeps to label its points."""
_PARTS_WORST, _PARTS_SPREAD, _PARTS_TOKENS = 3, 6, 512
"""Texts on which parts are compared: how many worst ones, how many spread over all lengths, and the most tokens of a
batch. All inner values of a batch are kept in memory."""


@dataclass(frozen=True)
class Reference:
    """The reference's results, prepared for all measures."""

    results: Results
    vectors: np.ndarray
    """``[n, hidden]`` float64, finite."""
    nearest: Nearest


def build_report(
    bundle: Bundle,
    corpus: Corpus,
    *,
    reference: Subject | Results,
    candidates: Sequence[Subject],
    limits: Mapping[str, Limits],
    encoder: "Encoder | None" = None,
    checkpoint_sha256: str,
    cache: Path | None = None,
    progress: Progress = Progress(),
    warn: Callable[[str], None] = lambda message: None,
) -> tuple[Report, tuple[Results, ...]]:
    """Compare a bundle's graphs with a reference, for each text and over all texts.

    Subjects are loaded one after the other, so that only one is in memory at a time.

    Args:
        bundle: an open bundle.
        corpus: the texts, and pairs of them for the benchmark.
        reference: the subject that is right, or its saved results for these texts.
        candidates: the bundle in its runtimes.
        limits: thresholds by precision.
        encoder: needed to compare part by part; None without a checkpoint. It is converted to float64 in place.
        checkpoint_sha256: hash of the checkpoint that the reference is made from.
        cache: folder that caches embeddings between runs.
        progress: told of each step, and of each text.
        warn: told if a subject's embeddings cannot be kept in the cache.

    Returns:
        The report, and the results of each subject, with the reference's first.

    Raises:
        LamError: a subject cannot run, or the reference itself is not finite.
    """
    model = bundle.manifest.model
    texts = [text.text for text in corpus.texts]
    ids = tokenizer_of(bundle).encode(texts)
    tokens = [len(row) for row in ids]
    tried = sample(tokens)

    def embedded(subject: Subject, engine: EmbeddingEngine) -> Results:
        progress.begin(f"{subject.info.name}: {len(ids):,} texts", len(ids))
        vectors, seconds = embeddings(
            subject, engine.embed_ids, ids, model.pad_token_id, cache=cache, progress=progress.advance, warn=warn
        )
        return Results(subject.info, corpus.sha256, vectors, seconds)

    progress.begin("loading the candidates", len(candidates))
    for candidate in candidates:  # fail now, not after the minutes that the reference takes
        candidate.load().close()
        progress.advance(1)
    if isinstance(reference, Subject):
        with reference.load() as engine:
            reference = embedded(reference, engine)
    held = _reference(reference, corpus, model.hidden_size)
    comparisons, results = [], [reference]
    for candidate in candidates:
        name, precision = candidate.info.name, candidate.info.precision
        with candidate.load() as engine:
            found = embedded(candidate, engine)
            progress.begin(f"{name}: other batches, padding, runs", len(tried))
            moved = stability(engine.embed_ids, ids, texts, tried, model.pad_token_id, progress=progress.advance)
        errors = row_errors(zero_unless_finite(found.vectors), held.vectors)
        parts: tuple[PartError, ...] = ()
        if candidate.shows_inner_values and encoder is not None:
            batches_of_parts = _part_batches(ids, errors, model.pad_token_id)
            progress.begin(f"{name}: layer by layer", None)
            parts = part_errors(bundle.read(bundle.graph(precision)), encoder, batches_of_parts, precision)
        progress.begin(f"{name}: measures", None)
        comparison, worst = _compare(corpus, tokens, held, found, errors, moved, parts)
        checks = judge(comparison, limits[precision], worst)
        comparisons.append(comparison.model_copy(update={"checks": checks}))
        results.append(found)
    report = Report(
        **made(bundle),
        report_version=1,
        passed=all(comparison.passed for comparison in comparisons),
        checkpoint_sha256=checkpoint_sha256,
        texts=len(corpus.texts),
        texts_sha256=corpus.sha256,
        starts=tuple(readable(text.text, START) for text in corpus.texts),
        sources=corpus.sources,
        comparisons=tuple(comparisons),
    )
    return report, tuple(results)


def _reference(results: Results, corpus: Corpus, hidden_size: int) -> Reference:
    if results.vectors.shape != (len(corpus.texts), hidden_size):
        raise LamError(
            f"expected a reference of {len(corpus.texts)} texts and {hidden_size} numbers each, found "
            f"{' x '.join(map(str, results.vectors.shape))}; it is of another model than the bundle"
        )
    bad = np.flatnonzero(~np.isfinite(results.vectors).all(axis=1))
    if bad.size:
        raise LamError(
            f"expected finite numbers from the reference, {results.subject.name}, found NaN or infinity for {bad.size} "
            f"texts, the first {in_words(corpus.texts[bad[0]].text)}; mend the model, or leave those texts out"
        )
    vectors = results.vectors.astype(np.float64)
    return Reference(results, vectors, nearest(vectors))


def _compare(
    corpus: Corpus,
    tokens: Sequence[int],
    reference: Reference,
    candidate: Results,
    errors: RowErrors,
    moved: Moved,
    parts: tuple[PartError, ...],
) -> tuple[Comparison, dict[str, str]]:
    """The comparison without its checks, and the name of each check's worst text or pair."""
    vectors = zero_unless_finite(candidate.vectors)
    nan, inf = not_finite(candidate.vectors)
    neighbours, at_10 = recall(reference.vectors, reference.nearest, vectors)
    benchmark, pairs, worst_pair = _benchmark(corpus, reference.vectors, vectors)
    index = corpus.index
    tasks = tuple(task.score(index, reference.vectors, vectors) for task in corpus.tasks)

    worst = {"cosine": int(errors.cosine.argmin()), **moved.worst}
    if at_10.min() < 1:
        worst["recall_at_10"] = int(at_10.argmin())
    if nan or inf:
        worst["not_finite"] = int((~np.isfinite(candidate.vectors)).any(axis=1).argmax())
    named = {
        name: f"{in_words(corpus.texts[i].text)} ({tokens[i]:,} tokens, {corpus.texts[i].language})"
        for name, i in worst.items()
    }
    if worst_pair is not None:
        named["sts_difference"] = " and ".join(in_words(corpus.texts[i].text) for i in worst_pair)
    comparison = Comparison(
        reference=reference.results.subject,
        candidate=candidate.subject,
        texts=len(corpus.texts),
        nan=nan,
        inf=inf,
        max_abs=float(errors.max_abs.max()),
        relative_rms=float(errors.relative_rms.max()),
        cosine=float(errors.cosine.min()),
        mean_cosine=float(errors.cosine.mean()),
        worst=worst_rows(corpus.texts, tokens, errors),
        buckets=buckets(corpus.texts, tokens, errors),
        parts=parts,
        neighbours=neighbours,
        sts=benchmark,
        tasks=tasks,
        stability=moved.figures,
        seconds=candidate.seconds,
        checks=(),
        series=Series(
            tokens=tuple(tokens),
            max_abs=tuple(errors.max_abs.tolist()),
            relative_rms=tuple(errors.relative_rms.tolist()),
            cosine=tuple(errors.cosine.tolist()),
            **pairs,
        ),
    )
    return comparison, named


def _benchmark(
    corpus: Corpus, reference: np.ndarray, candidate: np.ndarray
) -> tuple[Sts | None, dict[str, Any], tuple[int, int] | None]:
    """The benchmark, its series for the plots, and the pair whose cosine changed most."""
    if not corpus.pairs:
        return None, {"sts_gold": (), "sts_reference": (), "sts_candidate": ()}, None
    first, second = (np.array([pair[i] for pair in corpus.pairs]) for i in (0, 1))
    gold = [pair[2] for pair in corpus.pairs]
    before, after = (cosines(vectors, first, second) for vectors in (reference, candidate))
    series = {"sts_gold": tuple(gold), "sts_reference": tuple(before.tolist()), "sts_candidate": tuple(after.tolist())}
    most = int(np.abs(after - before).argmax())
    return sts(gold, before, after), series, (int(first[most]), int(second[most]))


def _part_batches(ids: Sequence[np.ndarray], errors: RowErrors, pad_token_id: int) -> list[dict[str, np.ndarray]]:
    """The worst texts and texts of all lengths, in batches so small that all inner values fit into memory."""
    lengths = [len(row) for row in ids]
    worst = [int(i) for i in np.argsort(errors.cosine, kind="stable") if lengths[i] <= _PARTS_TOKENS][:_PARTS_WORST]
    chosen = list(dict.fromkeys([*worst, *sample(lengths, _PARTS_SPREAD)]))
    found = []
    for rows in batches([lengths[i] for i in chosen], batch_tokens=_PARTS_TOKENS):
        input_ids, attention_mask = pad([ids[chosen[row]] for row in rows], pad_token_id)
        found.append({INPUT_IDS: input_ids, ATTENTION_MASK: attention_mask})
    return found
