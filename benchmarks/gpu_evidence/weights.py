"""The models that are measured: the demo, or the demo's trained layers on random embeddings; or, tiny, random ones."""

import json
import os
from pathlib import Path

import tiny
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gpu_evidence import machine
from lam_export.demo import STUDENT, DemoError, teacher_folder

DEMO = machine.ROOT / "demo-checkpoint"
HIDDEN, HEADS, VOCABULARY, POSITIONS = 384, 12, 30_522, 512
"""Of all-MiniLM-L6-v2 and of the demo."""


def checkpoint_folder() -> Path:
    """A checkpoint's folder: ``demo-checkpoint`` if it is there."""
    if DEMO.is_dir() and not machine.tiny:
        return DEMO
    folder = Path(os.environ[machine.WORK]) / "lam"
    if not (folder / "tokenizer.json").exists():  # the last that is written
        tiny.write_checkpoint(folder) if machine.tiny else _trained_layers(folder)
    return folder


def _trained_layers(folder: Path) -> None:
    """The demo's layers, which are in the repository, on embeddings with the scales of its teacher's."""
    tensors = {name: t.float() for name, t in load_file(STUDENT).items()}
    place = "teacher_model.embeddings"
    for i, (name, rows) in enumerate({"word": VOCABULARY, "position": POSITIONS, "token_type": 2}.items()):
        tensors[f"{place}.{name}_embeddings.weight"] = _normal((rows, HIDDEN), 0.05 if i == 0 else 0.02, seed=i)
    tensors |= {f"{place}.LayerNorm.weight": 0.8 + _normal((HIDDEN,), 0.1, seed=3)}
    tensors |= {f"{place}.LayerNorm.bias": _normal((HIDDEN,), 0.1, seed=4)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "lam", "num_attention_heads": HEADS, "pad_token_id": 0, "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tiny.write_tokenizer(folder / "tokenizer.json")


def transformer() -> tuple[dict[str, Tensor], int]:
    """A BERT's tensors, and its number of heads: MiniLM's own if its package is here, else random ones of its sizes."""
    if machine.tiny:
        return tiny.bert_tensors(), tiny.HEADS
    try:
        return load_file(teacher_folder() / "model.safetensors"), HEADS
    except DemoError:
        return _random_bert(), HEADS


def _random_bert() -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}

    def dense(name: str, rows: int, columns: int) -> None:
        tensors[f"{name}.weight"] = _normal((rows, columns), columns**-0.5, seed=len(tensors))
        tensors[f"{name}.bias"] = torch.zeros(rows)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = torch.ones(HIDDEN), torch.zeros(HIDDEN)

    for name, rows in {"word": VOCABULARY, "position": POSITIONS, "token_type": 2}.items():
        tensors[f"embeddings.{name}_embeddings.weight"] = _normal((rows, HIDDEN), 0.05, seed=len(tensors))
    norm("embeddings.LayerNorm")
    for i in range(6):
        layer = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            dense(f"{layer}.attention.{part}", HIDDEN, HIDDEN)
        norm(f"{layer}.attention.output.LayerNorm")
        dense(f"{layer}.intermediate.dense", 4 * HIDDEN, HIDDEN)
        dense(f"{layer}.output.dense", HIDDEN, 4 * HIDDEN)
        norm(f"{layer}.output.LayerNorm")
    return tensors


def _normal(shape: tuple[int, ...], std: float, *, seed: int) -> Tensor:
    return std * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def texts(batch: int, tokens: int, vocabulary: int) -> Tensor:
    """Random ids ``[batch, tokens]`` int64, every text of the full length."""
    generator = torch.Generator().manual_seed(tokens)
    return torch.randint(5, vocabulary, (batch, tokens), generator=generator)
