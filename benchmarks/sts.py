"""STS benchmark: Spearman's correlation of the reference and of a bundle, on a file that you have.

python benchmarks/sts.py demo-bundle stsb/test.csv --checkpoint demo-checkpoint
"""

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from scipy.stats import spearmanr

from lam_engines import load_engine
from lam_engines.embedding.batching import batches, pad
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder


def main(
    bundle: Path,
    sts: Annotated[Path, typer.Argument(help="CSV without a header: sentence1, sentence2, score.")],
    checkpoint: Annotated[Path, typer.Option()],
    teacher: Annotated[Path | None, typer.Option()] = None,
) -> None:
    with sts.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    gold = [float(row[2]) for row in rows]
    texts = [row[0] for row in rows] + [row[1] for row in rows]

    with load_engine(bundle) as engine:
        manifest = engine.bundle.manifest
        found = engine.embed(texts)
        ids = engine.tokenizer.encode(texts)
    encoder = Encoder(load_checkpoint(checkpoint, teacher), form=manifest.form, chunk_size=manifest.chunk_size)
    expected = np.empty_like(found)
    for index in batches([len(i) for i in ids], batch_tokens=2048):
        batch = pad([ids[i] for i in index], manifest.model.pad_token_id)
        with torch.inference_mode():
            expected[index] = encoder(*map(torch.from_numpy, batch))[0].numpy()

    def score(vectors: np.ndarray) -> float:
        first, second = np.split(vectors.astype(np.float64), 2)
        return float(spearmanr((first * second).sum(axis=1), gold).statistic)

    print(f"{len(rows)} pairs; Spearman: PyTorch {score(expected):.4f}, ONNX Runtime {score(found):.4f}")
    print(
        f"difference {abs(score(expected) - score(found)):.6f}; embeddings max-abs {np.abs(found - expected).max():.1e}"
    )


if __name__ == "__main__":
    typer.run(main)
