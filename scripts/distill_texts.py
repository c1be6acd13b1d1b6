"""The texts of the distillation: read, augment, tokenise, batch."""

import csv
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

BATCH_TOKENS = 1536
LONGEST = 200
"""Tokens; everything longer is cut."""
POOL = 3000
"""Texts sorted by length together."""

Batch = tuple[Tensor, Tensor]
"""``input_ids`` and ``attention_mask``, ``[B, L]`` int64 each, padded on the right."""


def read_sentences(path: Path) -> list[str]:
    """The sentences of a ``.txt`` (one a line) or of a headerless STS ``.csv`` (its columns 1 and 2)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row[:2] for row in csv.reader(file)] if path.suffix == ".csv" else [[line] for line in file]
    return [sentence.strip() for sentence in itertools.chain.from_iterable(rows) if sentence.strip()]


def load_tokenizer(teacher: Path) -> Tokenizer:
    """The teacher's tokenizer, without padding, cutting at ``LONGEST``."""
    tokenizer = Tokenizer.from_file(str(teacher / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


def augmented(sentences: list[str], rng: random.Random) -> str:
    """One text: a sentence as it is (half of the time), or one made from several."""
    kind = rng.random()
    if kind < 0.50:
        return rng.choice(sentences)
    if kind < 0.65:
        first, second = (rng.choice(sentences).split() for _ in range(2))
        return " ".join(first[: (len(first) + 1) // 2] + second[len(second) // 2 :])
    if kind < 0.80:
        words = rng.choice(sentences).split()
        return " ".join([w for w in words if rng.random() > 0.2] or words)
    return " ".join(rng.choices(sentences, k=rng.randint(2, 4) if kind < 0.98 else rng.randint(5, 16)))


def batches(texts: list[str], tokenizer: Tokenizer) -> list[tuple[list[int], Batch]]:
    """Texts of like length together, at most ``BATCH_TOKENS`` padded tokens each: their indices, and the batch."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    groups: list[list[int]] = [[]]
    for i in sorted(range(len(ids)), key=lambda i: len(ids[i])):
        if (len(groups[-1]) + 1) * len(ids[i]) > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(i)
    padded = []
    for group in groups:
        rows = [torch.tensor(ids[i]) for i in group]
        masks = [torch.ones_like(row) for row in rows]
        padded.append((group, (pad_sequence(rows, batch_first=True), pad_sequence(masks, batch_first=True))))
    return padded


def training_batches(sentences: list[str], tokenizer: Tokenizer, rng: random.Random) -> Iterator[Batch]:
    """Fresh texts for ever, the batches in random order of length."""
    while True:
        texts = [augmented(sentences, rng) for _ in range(POOL)]
        pool = [batch for _, batch in batches(texts, tokenizer)]
        rng.shuffle(pool)
        yield from pool
