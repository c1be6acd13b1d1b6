"""What each step of the recurrent form's removal plan gives and costs: time side by side, embeddings, STS.

The plan's steps leave parts of the rule out; each is a field of the checkpoint's ``config.json``. Every variant is
exported, compared with its own float64 reference, and only then timed, in turn with the published rule, in ONNX Runtime
on a CPU. The change of embeddings is over the built-in texts (and the STS sentences).

A text of one chunk reads no state, so nothing changes for it: an STS benchmark of single sentences, most of them
shorter than 32 tokens, cannot tell the steps apart, and the cosines of longer texts must. Without any norm (steps 2 and
3 together) the states of long texts may grow without end; texts whose embedding is not finite are counted.

The steps were proposed for weights that were trained with the whole rule. On weights that never saw it (the demo's were
trained for the flat form) the figures of speed hold and those of quality mean nothing.

    python benchmarks/removal_plan.py my-checkpoint --sts stsb/dev.csv --threads 2
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer

from lam_engines.embedding.batching import batches, pad
from lam_engines.embedding.tokenizer import Tokenizer
from lam_export.bench.timing import in_turn, median_ratio
from lam_export.evidence.cases import text_of
from lam_export.evidence.corpus import Corpus, read_corpus
from lam_export.evidence.metrics import Thresholds, diff, row_errors
from lam_export.evidence.provenance import machine, tools
from lam_export.evidence.sts import cosines, sts
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.checkpoint import Checkpoint, load_checkpoint
from lam_export.model.encoder import Encoder

PUBLISHED = "published rule"
CHECKED_TOKENS = 300


def steps_of(surprise_threshold: float) -> dict[str, dict[str, Any]]:
    """Name of each step to the fields of the config that it changes."""
    single: dict[str, dict[str, Any]] = {
        "1 no cross-coupling": {"cross_coupling": False},
        "2 final norm at the end": {"final_norm": "end"},
        "3 no readout norm": {"readout_norm": False},
        f"4 surprise above {surprise_threshold:g}": {"surprise_threshold": surprise_threshold},
    }
    every = {field: value for step in single.values() for field, value in step.items()}
    return {PUBLISHED: {}, **single, "all four": every}


class Variant:
    """One variant of the rule, exported and seen to equal its reference."""

    def __init__(self, checkpoint: Checkpoint, fields: dict[str, Any], threads: int, ids: np.ndarray) -> None:
        changed = dataclasses.replace(checkpoint, config=dataclasses.replace(checkpoint.config, **fields))
        encoder = Encoder(changed, "recurrent")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = onnx_from_encoder(encoder).SerializeToString()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        mask = np.ones_like(ids)
        with torch.inference_mode():
            expected = encoder.double()(torch.from_numpy(ids), torch.from_numpy(mask))[0].numpy()
        if not (found := diff(self.run(ids, mask), expected, Thresholds())):
            raise SystemExit(f"{fields} does not equal its reference: {found}")

    def run(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self._session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})[0]

    def embed(self, texts: Sequence[np.ndarray], pad_token_id: int) -> np.ndarray:
        parts = [
            (index, self.run(*pad([texts[i] for i in index], pad_token_id)))
            for index in batches([len(ids) for ids in texts], batch_tokens=2048)
        ]
        vectors = np.empty((len(texts), parts[0][1].shape[1]), np.float32)
        for index, part in parts:
            vectors[index] = part
        return vectors


def main(
    checkpoint: Path,
    teacher: Annotated[Path | None, typer.Option()] = None,
    sts_file: Annotated[Path | None, typer.Option("--sts", help="CSV: sentence1, sentence2, score.")] = None,
    surprise_threshold: Annotated[float, typer.Option(help="Of step 4.")] = 0.5,
    threads: Annotated[int, typer.Option()] = 2,
    tokens: Annotated[list[int] | None, typer.Option(help="Length of the timed text; may be repeated.")] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs of each variant.")] = 7,
) -> None:
    loaded = load_checkpoint(checkpoint, teacher)
    if loaded.tokenizer is None:
        raise SystemExit(f"expected tokenizer.json beside {loaded.weights}, found none; name a teacher: --teacher DIR")
    tokenizer = Tokenizer(loaded.tokenizer.read_bytes(), loaded.config.vocab_size)
    corpus = read_corpus(sts=sts_file)
    lengths = tokens or [128, 1024, 4096]
    check = text_of(tokenizer, CHECKED_TOKENS)[None]
    steps = steps_of(surprise_threshold)
    variants = {name: Variant(loaded, fields, threads, check) for name, fields in steps.items()}
    encoded = tokenizer.encode([text.text for text in corpus.texts])
    vectors = {name: variant.embed(encoded, loaded.config.pad_token_id) for name, variant in variants.items()}
    times = {length: timed(variants, text_of(tokenizer, length)[None], repeats) for length in lengths}

    print(f"{machine()}; {tools()}; {threads} threads; {len(encoded)} texts\n")
    head = [f"ms, {n} tokens | times as fast" for n in lengths] + ["not finite", "worst cosine", "mean cosine"]
    head += ["Spearman", "change (95 %)"] * (sts_file is not None)
    print(f"| step | {' | '.join(head)} |\n|---{'|---' * ' | '.join(head).count(' | ')}|---|")
    for name in variants:
        cells = []
        for length in lengths:
            mine, published = times[length][name], times[length][PUBLISHED]
            cells += [f"{median(mine) * 1e3:.1f}", f"{median_ratio(published, mine):.3f}"]
        finite = np.isfinite(vectors[name]).all(axis=1)
        cosine = row_errors(vectors[name][finite], vectors[PUBLISHED][finite]).cosine
        cells += [str((~finite).sum()), f"{cosine.min():.4f}", f"{cosine.mean():.4f}"]
        print(f"| {name} | {' | '.join([*cells, *quality(corpus, vectors[PUBLISHED], vectors[name])])} |")


def timed(variants: dict[str, Variant], ids: np.ndarray, repeats: int) -> dict[str, list[float]]:
    """Seconds of each variant on one text, in turn, after a run that is not timed."""
    mask = np.ones_like(ids)

    def clock(run: Callable[..., np.ndarray]) -> float:
        start = perf_counter()
        run(ids, mask)
        return perf_counter() - start

    clocks = {name: partial(clock, variant.run) for name, variant in variants.items()}
    in_turn(clocks, repeats=1)
    return in_turn(clocks, repeats=repeats)


def quality(corpus: Corpus, published: np.ndarray, changed: np.ndarray) -> list[str]:
    """Spearman's correlation on the STS pairs, and how far it moved; empty if there are none."""
    if not corpus.pairs:
        return []
    first, second, gold = (np.array(column) for column in zip(*corpus.pairs, strict=True))
    found = sts(list(gold), cosines(published, first, second), cosines(changed, first, second)).spearman
    return [f"{found.candidate:.4f}", f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})"]


if __name__ == "__main__":
    typer.run(main)
