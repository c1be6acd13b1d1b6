"""Cost against length: milliseconds, microseconds per token and peak memory of one text, in ONNX Runtime on a CPU.

Every length is measured in a process of its own, so that its peak memory is its own.

    python benchmarks/length_scaling.py demo-bundle --threads 2
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer

from lam_engines import load_engine

LENGTHS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 100_000)


def measure(bundle: Path, tokens: int, threads: int) -> None:
    """Print milliseconds and peak MiB of one text of so many tokens."""
    engine = load_engine(bundle, threads=threads)
    ids = np.random.default_rng(0).integers(1000, engine.model.vocab_size, (1, tokens))
    vector = engine.embed_ids(ids)
    assert np.isfinite(vector).all()
    assert abs(np.linalg.norm(vector) - 1) < 1e-5
    runs = []
    for _ in range(max(3, 65536 // tokens)):
        start = time.perf_counter()
        engine.embed_ids(ids)
        runs.append(time.perf_counter() - start)
    print(median(runs) * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(
    bundle: Path,
    threads: Annotated[int, typer.Option()] = 2,
    rounds: Annotated[int, typer.Option(help="Lengths are measured in turn, this many times over.")] = 3,
    tokens: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    if tokens is not None:
        measure(bundle, tokens, threads)
        return
    found: dict[int, list[tuple[float, float]]] = {length: [] for length in LENGTHS}
    for _ in range(rounds):
        for length in LENGTHS:
            command = [sys.executable, __file__, str(bundle), "--threads", str(threads), "--tokens", str(length)]
            milliseconds, mebibytes = subprocess.check_output(command, text=True).split()
            found[length].append((float(milliseconds), float(mebibytes)))
    print("| tokens | ms | µs per token | tokens/s | peak MiB |\n|---|---|---|---|---|")
    per_token = {}
    for length, measured in found.items():
        ms = median(m for m, _ in measured)
        per_token[length] = [m * 1e3 / length for m, _ in measured]
        mib = max(m for _, m in measured)
        print(f"| {length:,} | {ms:,.1f} | {ms * 1e3 / length:.1f} | {length / ms * 1e3:,.0f} | {mib:,.0f} |")
    ratio = median(a / b for a, b in zip(per_token[65536], per_token[4096], strict=True))
    print(f"\nTime per token at 65,536 tokens over that at 4,096 (median of rounds): {ratio:.2f}")


if __name__ == "__main__":
    typer.run(main)
