"""Layers as memories: in PyTorch, in a checkpoint of their own, and by hand."""

from pathlib import Path

import by_hand_memory
import numpy as np
import tiny
from dual_state import layer_tensors
from torch import Tensor

from lam_export.model.checkpoint import Checkpoint
from lam_export.model.config import ModelConfig
from lam_export.model.memory_step import Memory


def checkpoint_of(layer: dict[str, Tensor], heads: int) -> Checkpoint:
    """A checkpoint with one layer and nothing else."""
    hidden = len(layer["q_proj.weight"])
    sizes = {"num_hidden_layers": 1, "intermediate_size": 4, "vocab_size": 8, "type_vocab_size": 2, "position_rows": 4}
    return Checkpoint(
        config=ModelConfig(hidden_size=hidden, num_attention_heads=heads, **sizes),
        tensors={f"deltanet_layers.0.{name}": tensor for name, tensor in layer.items()},
        layout="made up",
        weights=Path("layer.bin"),
        sha256="0" * 64,
        teacher=None,
        tokenizer=None,
        from_teacher=(),
    )


class Case:
    """A layer with the scales of a trained one, whose psi varies, and vectors to store and to ask with."""

    def __init__(self, head_size: int = 16, heads: int = 3, *, shared: bool = False) -> None:
        # The model reads float32; by hand it is the same numbers.
        self.layer = {name: t.float() for name, t in layer_tensors(head_size, heads, shared=shared).items()}
        self.arrays = {name: t.double().numpy() for name, t in self.layer.items()}
        self.hidden = heads * head_size
        self.checkpoint = checkpoint_of(self.layer, heads)

    def memory(self) -> Memory:
        return Memory(self.checkpoint)

    def vectors(self, *shape: int, seed: int = 0) -> np.ndarray:
        """``[*shape, hidden]`` float32, of a hidden state's scale."""
        return np.random.default_rng(seed).normal(size=(*shape, self.hidden)).astype(np.float32)

    def by_hand(self, keys: np.ndarray, values: np.ndarray) -> by_hand_memory.States:
        """The states after storing ``[n, hidden]``, one after the other."""
        states = by_hand_memory.empty(self.arrays, "")
        for key, value in zip(keys.astype(np.float64), values.astype(np.float64), strict=True):
            states = by_hand_memory.store(self.arrays, "", states, key, value)
        return states

    def recalled_by_hand(self, states: by_hand_memory.States, queries: np.ndarray) -> np.ndarray:
        rows = [by_hand_memory.recall(self.arrays, "", states, query) for query in queries.astype(np.float64)]
        return np.array(rows)


def tiny_by_hand(keys: np.ndarray, queries: np.ndarray, layer: int = tiny.LAYERS - 1) -> np.ndarray:
    """What the tiny model's memory recalls once the keys are stored."""
    arrays = {name: t.double().numpy() for name, t in tiny.lam_tensors().items()}
    prefix = f"deltanet_layers.{layer}."
    states = by_hand_memory.empty(arrays, prefix)
    for key in keys.astype(np.float64):
        states = by_hand_memory.store(arrays, prefix, states, key, key)
    return np.array([by_hand_memory.recall(arrays, prefix, states, q) for q in queries.astype(np.float64)])
