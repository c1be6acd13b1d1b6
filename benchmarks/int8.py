"""The int8 graph against the float32 one in ONNX Runtime on a CPU: equal threads, interleaved runs.

lam-export onnx demo-checkpoint -o demo-bundle --precision int8
python benchmarks/int8.py demo-bundle --threads 1
"""

from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer

from lam_engines import load_engine
from lam_engines.contract import GRAPHS
from lam_engines.embedding.engine import EmbeddingEngine
from lam_export.bench.timing import median_ratio, side_by_side
from lam_export.evidence.metrics import THRESHOLDS, row_errors
from lam_export.evidence.provenance import machine, tools

SHAPES = ((1, 16), (1, 128), (32, 32), (8, 128), (1, 1024))


def main(
    bundle: Path,
    threads: Annotated[int, typer.Option(help="Threads of either side.")] = 1,
    seconds: Annotated[float, typer.Option(help="About how long to measure each shape.")] = 8.0,
) -> None:
    engines = {precision: load_engine(bundle, precision=precision, threads=threads) for precision in ("fp32", "int8")}
    manifest = engines["fp32"].bundle.manifest
    random = np.random.default_rng(0)
    sizes = ", ".join(f"{p} {manifest.files[GRAPHS[p]].bytes / 1e6:.1f} MB" for p in engines)
    print(f"{machine()}; {tools()}; {threads} threads; {sizes}\n")
    print("| batch | tokens | smallest cosine | fp32, ms | int8, ms | times as fast |")
    print("|---|---|---|---|---|---|")
    for batch, tokens in SHAPES:
        ids = random.integers(manifest.model.vocab_size // 30, manifest.model.vocab_size, (batch, tokens))

        def embed(engine: EmbeddingEngine, ids: np.ndarray = ids) -> np.ndarray:
            return engine.embed_ids(ids, np.ones_like(ids))

        candidates = {precision: (lambda engine=engine: embed(engine)) for precision, engine in engines.items()}
        once = sum(sum(runs) for runs in side_by_side(candidates, repeats=1, thresholds=THRESHOLDS["int8"]).values())
        repeats = int(np.clip(seconds / once, 5, 500))
        times = side_by_side(candidates, repeats=repeats, thresholds=THRESHOLDS["int8"])
        cosine = row_errors(embed(engines["int8"]), embed(engines["fp32"])).cosine.min()
        a, b = times["fp32"], times["int8"]
        figures = f"{cosine:.4f} | {median(a) * 1e3:.2f} | {median(b) * 1e3:.2f} | {median_ratio(a, b):.2f}"
        print(f"| {batch} | {tokens} | {figures} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
