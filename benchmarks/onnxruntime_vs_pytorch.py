"""ONNX Runtime against PyTorch eager (the reference, float32) on a CPU: equal threads, interleaved runs.

python benchmarks/onnxruntime_vs_pytorch.py demo-bundle --checkpoint demo-checkpoint --threads 2
"""

from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import torch
import typer

from lam_engines import load_engine
from lam_export.bench.timing import median_ratio, side_by_side
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder
from lam_export.validate.report.environment import machine, tools

SHAPES = ((1, 16), (1, 128), (32, 32), (8, 128), (1, 1024), (1, 4096))


def main(
    bundle: Path,
    checkpoint: Annotated[Path, typer.Option()],
    teacher: Annotated[Path | None, typer.Option()] = None,
    threads: Annotated[int, typer.Option(help="Threads of either side.")] = 2,
    seconds: Annotated[float, typer.Option(help="About how long to measure each shape.")] = 8.0,
) -> None:
    torch.set_num_threads(threads)
    engine = load_engine(bundle, threads=threads)
    manifest = engine.bundle.manifest
    encoder = Encoder(load_checkpoint(checkpoint, teacher), form=manifest.form, chunk_size=manifest.chunk_size)
    random = np.random.default_rng(0)
    print(f"{machine()}; {tools()}; {threads} threads\n")
    print("| batch | tokens | PyTorch eager, ms | ONNX Runtime, ms | times as fast |")
    print("|---|---|---|---|---|")
    for batch, tokens in SHAPES:
        ids = random.integers(1000, manifest.model.vocab_size, (batch, tokens))
        mask = np.ones_like(ids)
        ids_torch, mask_torch = torch.from_numpy(ids), torch.from_numpy(mask)

        @torch.inference_mode()
        def eager(ids: torch.Tensor = ids_torch, mask: torch.Tensor = mask_torch) -> np.ndarray:
            return encoder(ids, mask)[0].numpy()

        def onnx(ids: np.ndarray = ids, mask: np.ndarray = mask) -> np.ndarray:
            return engine.embed_ids(ids, mask)

        candidates = {"PyTorch eager": eager, "ONNX Runtime": onnx}
        once = sum(sum(runs) for runs in side_by_side(candidates, repeats=1).values())
        times = side_by_side(candidates, repeats=int(np.clip(seconds / once, 5, 500)))
        a, b = times["PyTorch eager"], times["ONNX Runtime"]
        figures = f"{median(a) * 1e3:.2f} | {median(b) * 1e3:.2f} | {median_ratio(a, b):.2f}"
        print(f"| {batch} | {tokens} | {figures} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
