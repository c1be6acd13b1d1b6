"""Batches of the distillation from several processes, for a device that is faster than one process makes texts."""

import gc
import random
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from distill_texts import Texts, equal_length_batches
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class _Batches(IterableDataset[Tensor]):
    """Endless batches of equal length; every process has texts of its own."""

    def __init__(
        self, texts: Texts, mixture: Mapping[str, float], tokenizer: Tokenizer, tokens: int, seed: str
    ) -> None:
        self.texts, self.mixture, self.tokenizer, self.tokens, self.seed = texts, mixture, tokenizer, tokens, seed

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        rng = random.Random(f"{self.seed} {worker.id if worker else 0}")
        return equal_length_batches(self.texts.endless(self.mixture, rng), self.tokenizer, self.tokens)


def batches_from_processes(
    texts: Texts, mixture: Mapping[str, float], tokenizer: Tokenizer, tokens: int, seed: str, *, processes: int
) -> Iterator[Tensor]:
    """Endless batches ``[B, L]`` int64, made in ``processes`` that end with the iterator.

    Args:
        texts, mixture: what :meth:`Texts.of` makes.
        tokenizer, tokens: of :func:`equal_length_batches`.
        seed: the same gives the same batches in the same order.
    """
    batches = _Batches(texts, mixture, tokenizer, tokens, seed)
    how: dict[str, Any] = {"num_workers": processes, "prefetch_factor": 8, "worker_init_fn": _begin}
    return iter(DataLoader(batches, batch_size=None, **how))


def _begin(_: int) -> None:
    """In a process that was forked: what it has from its parent stays as it is, shared and not collected.

    What stops the run is told to its whole group; the run itself ends its processes.
    """
    gc.freeze()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
