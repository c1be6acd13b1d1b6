#!/usr/bin/env python3
"""What a student is worth: its score on an STS file, and its nearness to the teacher on short and long texts.

    python scripts/distill_score.py test.csv lam_export/demo/student.safetensors

Prints the rows of a table in Markdown, for the flat and the recurrent form. A student's scores take a minute.
"""

import argparse
import csv
import random
from collections.abc import Callable
from pathlib import Path

import torch
from distill_teacher import Teacher
from distill_texts import load_tokenizer, padded_batches
from tokenizers import Tokenizer
from torch import Tensor

from lam_export.demo import teacher_folder
from lam_export.evidence.tables import Table, markdown_table
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder

LONG = (50, 145, 370)
"""Tokens of the long texts: sentences of the STS file in a row."""
TEXTS = 96
"""Of each length, and of single sentences ten times as many. Their mean cosines have standard errors of 0.002 to
0.003 (the demo on STS test)."""


class Scores:
    """The scores of a headerless STS file: columns sentence 1, sentence 2, gold score."""

    def __init__(self, path: Path, tokenizer: Tokenizer, teacher: Callable[[Tensor], Tensor]) -> None:
        """Read the file and embed some of its texts with the teacher: ``[B, L]`` ids to ``[B, M]``."""
        from scipy.stats import spearmanr

        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        self._tokenizer, self._spearman = tokenizer, spearmanr
        self._gold = [float(row[2]) for row in rows]
        self._pairs = [row[0] for row in rows] + [row[1] for row in rows]
        rng, self._texts = random.Random(0), {}
        self._texts["cosine"] = [rng.choice(self._pairs) for _ in range(10 * TEXTS)]
        for tokens in LONG:
            self._texts[f"cosine_{tokens}"] = [self._joined(tokens, rng) for _ in range(TEXTS)]
        self._targets = {name: self._embedded(texts, teacher) for name, texts in self._texts.items()}

    def _joined(self, tokens: int, rng: random.Random) -> str:
        text = rng.choice(self._pairs)
        while len(self._tokenizer.encode(text).ids) < tokens:
            text += " " + rng.choice(self._pairs)
        return text

    def _embedded(self, texts: list[str], teacher: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([teacher(torch.tensor([self._tokenizer.encode(text).ids])) for text in texts]).cpu()

    def of(self, encoder: Encoder) -> dict[str, float]:
        """``spearman``, and mean cosines to the teacher: of sentences, and of texts of about 145 and 370 tokens."""
        first, second = self._embeddings(encoder, self._pairs).chunk(2)
        scores = {"spearman": float(self._spearman((first * second).sum(1), self._gold).statistic)}
        for name, texts in self._texts.items():
            scores[name] = float((self._embeddings(encoder, texts) * self._targets[name]).sum(1).mean())
        return scores

    @torch.no_grad()
    def _embeddings(self, encoder: Encoder, texts: list[str]) -> Tensor:
        device = encoder.embeddings.word.device
        result = torch.empty(len(texts), encoder.config.hidden_size)
        for indices, ids, mask in padded_batches(texts, self._tokenizer):
            result[indices] = encoder(ids.to(device), mask.to(device))[0].cpu()
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sts", type=Path, help="headerless STS .csv")
    parser.add_argument("students", type=Path, nargs="+", help=".safetensors")
    given = parser.parse_args()
    folder = teacher_folder()
    teacher = Teacher(folder, "cpu")
    scores = Scores(given.sts, load_tokenizer(folder), lambda ids: teacher(ids).embedding)
    rows = [
        (student.name, form, *(f"{score:.4f}" for score in scores.of(Encoder(checkpoint, form)).values()))
        for student in given.students
        for checkpoint in [load_checkpoint(student, teacher=folder)]
        for form in ("flat", "recurrent")
    ]
    head = ("student", "form", "Spearman", "cosine of sentences", *(f"about {tokens} tokens" for tokens in LONG))
    print(markdown_table(Table(given.sts.name, head, tuple(rows), 2)))


if __name__ == "__main__":
    main()
