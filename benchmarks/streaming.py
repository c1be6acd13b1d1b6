"""One text of a million tokens in constant memory: time, peak memory, and the same embedding as all at once.

Random words of the bundle's vocabulary, each one token, come in pieces of 100. Every length is streamed in a process of
its own, so that its peak memory is its own; the embedding of 20,000 tokens is then compared with that of the bundle's
graph on the whole text at once. Exit code 2: memory grew by more than 200 MB, or the embeddings differ by more than
1e-5.

    python benchmarks/streaming.py demo-bundle
    lam-export onnx demo-checkpoint -o recurrent --form recurrent --stream && python benchmarks/streaming.py recurrent
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
import typer

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import MODEL, TOKENIZER
from lam_engines.runtimes.onnxruntime.session import session_options
from lam_export.evidence.process_memory import peak

SHORT, COMPARED, LONG = 10_000, 20_000, 1_000_000
GROWTH_MB, DIFFERENCE = 200, 1e-5
PIECE = 100


def words(bundle: Bundle, tokens: int) -> Iterator[str]:
    """Pieces of a text of so many tokens, the two special ones counted."""
    vocabulary = json.loads(bundle.read(TOKENIZER))["model"]["vocab"]
    known = np.array([word for word in vocabulary if word.isascii() and word.isalpha() and word.islower()])
    generator = np.random.default_rng(0)
    left = tokens - 2
    while left:
        count = min(PIECE, left)
        yield " ".join(generator.choice(known, count)) + " "
        left -= count


def measure(path: Path, tokens: int, threads: int) -> None:
    """Print seconds, peak MB, and the difference from the whole text at once."""
    bundle = Bundle(path)
    with load_engine(path, threads=threads) as engine:
        start = time.perf_counter()
        vector = engine.embed_stream(words(bundle, tokens))
        seconds, most = time.perf_counter() - start, peak()
        (ids,) = engine.tokenizer.encode(["".join(words(bundle, tokens))])
    assert len(ids) == tokens
    assert abs(np.linalg.norm(vector) - 1) < 1e-5
    difference = float("nan")
    if tokens == COMPARED:
        session = onnxruntime.InferenceSession(
            bundle.read(MODEL), session_options(threads), providers=["CPUExecutionProvider"]
        )
        feed = {"input_ids": ids[None], "attention_mask": np.ones_like(ids)[None]}
        difference = float(np.abs(session.run(["sentence_embedding"], feed)[0][0] - vector).max())
    print(seconds, (most or 0) / 1e6, difference)


def main(
    bundle: Path,
    threads: Annotated[int, typer.Option()] = 2,
    tokens: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    if tokens is not None:
        measure(bundle, tokens, threads)
        return
    found = {}
    print("| tokens | s | µs per token | peak MB |\n|---|---|---|---|")
    for length in (SHORT, COMPARED, LONG):
        command = [sys.executable, __file__, str(bundle), "--threads", str(threads), "--tokens", str(length)]
        seconds, megabytes, difference = map(float, subprocess.check_output(command, text=True).split())
        found[length] = megabytes, difference
        print(f"| {length:,} | {seconds:,.1f} | {seconds / length * 1e6:.0f} | {megabytes:,.0f} |", flush=True)
    growth, difference = found[LONG][0] - found[SHORT][0], found[COMPARED][1]
    print(f"\n{LONG:,} tokens against {SHORT:,}: {growth:+,.0f} MB (at most {GROWTH_MB})")
    print(f"{COMPARED:,} tokens, in pieces against at once: max-abs {difference:.1e} (at most {DIFFERENCE:.0e})")
    if growth > GROWTH_MB or not difference <= DIFFERENCE:
        raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
