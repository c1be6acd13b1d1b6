"""A training run of the distillation: stages, losses, steps, and a state on disk to go on from."""

import copy
import itertools
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from distill_curve import Curve
from distill_score import Scores
from distill_step import equal_length_layer, equal_length_states
from distill_stream import batches_from_processes
from distill_student import flat_groups, save_student, state_groups, student_tensors
from distill_teacher import Pool, Targets, Teacher
from distill_texts import Texts, equal_length_batches
from tokenizers import Tokenizer
from torch import Tensor, nn

from lam_engines.bundles.whole import drafted_file, put_file_in_place
from lam_engines.errors import LamError
from lam_export.model.checkpoint import Checkpoint
from lam_export.model.encoder import Encoder

POOL_TOKENS = 300_000
POOL_PASSES = 3
BANK = 4096
"""Sentences whose embeddings by the teacher every batch is compared with."""
BANK_TEMPERATURE = 0.05
WARM_UP_STEPS = 40
EMA_DECAY = 0.995
PRODUCT = torch.bfloat16
LOG_EVERY = 50
SCORE_EVERY = 500
SAVE_EVERY = 300
"""Seconds."""


class Stage(NamedTuple):
    """A part of the run, with rates of its own."""

    name: str
    share: float
    """Of the steps of all stages that are run."""
    mixture: dict[str, float]
    rates: Sequence[float]
    """Of the optimiser's groups: for a flat student the mixers, then the feed-forward parts and norms."""
    states_weight: float
    """Of the hidden states in the loss."""
    layerwise: bool = False
    """Every layer on the teacher's states, for itself."""


def layer_loss(student: list[Tensor], teacher: Tensor) -> Tensor:
    """MSE of the states ``[B, L, M]`` over the teacher's variance, the mean over the layers."""
    terms = [(s - t.float()).square().mean() / t.float().var() for s, t in zip(student, teacher, strict=True)]
    return torch.stack(terms).mean()


def cosine_errors(embedding: Tensor, target: Tensor, bank: Tensor) -> Tensor:
    """How far the cosines ``[B, M]`` x ``[B, M]`` and ``[B, M]`` x ``[K, M]`` are from the teacher's, squared."""
    among = (embedding @ embedding.T - target @ target.T).square().mean()
    right = target @ bank.T
    nearness = torch.softmax(right / BANK_TEMPERATURE, dim=1)
    return among + (nearness * (embedding @ bank.T - right).square()).sum(1).mean()


class Plan(NamedTuple):
    """What a run shall do, and where it writes."""

    form: str
    """``flat``: everything but the embeddings is trained. ``recurrent``: decays and flux, which the flat form does not
    use, so that one file holds both forms."""
    stages: Sequence[Stage]
    steps: int
    seed: int
    compiled: bool
    device: str
    batch_tokens: int
    """Of a step, at most."""
    workers: int
    """Processes that make texts for a teacher on the fly. None: its targets are kept on disk and used several times."""
    state: Path
    """Folder of the state and the teacher's targets."""
    output: Path


def _listed(scores: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in scores.items())


class Run:
    """One training run: the encoder, its moving average, the optimiser, and where it stands."""

    def __init__(
        self, plan: Plan, texts: Texts, teacher: Teacher, tokenizer: Tokenizer, start: Checkpoint, sts_dev: Path
    ) -> None:
        """Go on from the state on disk, if there is one.

        Raises:
            LamError: that state is of a run of another form or number of steps.
        """
        self.plan, self.texts, self.teacher, self.tokenizer, self.start = plan, texts, teacher, tokenizer, start
        self.encoder = Encoder(start, plan.form).to(plan.device)
        self.average = copy.deepcopy(self.encoder)
        groups = state_groups(self.encoder) if plan.form == "recurrent" else flat_groups(self.encoder)
        self.trained = [parameter for group in groups for parameter in group["params"]]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)
        self.curve = Curve(plan.output)
        self.step, self.pool_number, self.pool_place, self.best = 0, 0, 0, 0.0
        self.stopped = False
        """Set it to end after the current step."""
        plan.state.mkdir(parents=True, exist_ok=True)
        self._resume()
        self.scores = Scores(sts_dev, tokenizer, lambda ids: teacher(ids).embedding)
        some = random.Random(0).sample(texts.sentences, min(BANK, len(texts.sentences)))
        self.bank = torch.cat([teacher(ids).embedding for ids in equal_length_batches(some, tokenizer, 4096)])

    def train(self) -> None:
        """All steps that are left, unless :attr:`stopped` is set before. The state is written then too."""
        total = sum(stage.share for stage in self.plan.stages)
        lengths = [round(self.plan.steps * stage.share / total) for stage in self.plan.stages]
        ends = list(itertools.accumulate(lengths, initial=0))
        if not self.step:  # what is no better than the start is not written
            scores = self.scores.of(self.average)
            self.best = self._worth(scores)
            print(f"the start: {_listed(scores)}", flush=True)
        for stage, (begin, end) in zip(self.plan.stages, itertools.pairwise(ends), strict=True):
            if self.step < end and not self.stopped:
                self._train_stage(stage, begin, end)
        self._save()

    def _train_stage(self, stage: Stage, begin: int, end: int) -> None:
        losses: list[Tensor] = []
        saved, busy = time.monotonic(), time.process_time()
        for targets in self._targets(stage):
            losses.append(self.train_step(stage, targets, self.step - begin, end - begin))
            if self.step % LOG_EVERY == 0 or self.step == end:
                mean, seconds = float(torch.stack(losses).mean()), (time.process_time() - busy) / len(losses)
                print(f"{stage.name}: step {self.step}, loss {mean:.4f}, {seconds:.2f} CPU s a step", flush=True)
                if self.step % SCORE_EVERY == 0 or self.step == end:
                    self._score(stage, mean)
                losses, busy = [], time.process_time()
            if time.monotonic() - saved > SAVE_EVERY:
                self._save()
                saved = time.monotonic()
            if self.step == end:
                self.pool_number, self.pool_place = self.pool_number + 1, 0
            if self.stopped or self.step == end:
                break

    def train_step(self, stage: Stage, targets: Targets, step: int, steps: int) -> Tensor:
        """One step of the optimiser, the ``step``-th of the stage; returns the loss, for which a GPU is not awaited."""
        rate = min(1, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group, peak in zip(self.optimizer.param_groups, stage.rates, strict=True):
            group["lr"] = peak * rate
        loss = self._loss(stage, targets)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            weight = 1 - min(EMA_DECAY, self.step / (self.step + 10))
            pairs = list(self.average.layers.parameters()), list(self.encoder.layers.parameters())
            torch._foreach_lerp_(*pairs, weight)
        return loss.detach()

    def _loss(self, stage: Stage, targets: Targets) -> Tensor:
        if stage.layerwise:
            layers = zip(self.encoder.layers, targets.states[:-1].float(), strict=True)
            return layer_loss(
                [equal_length_layer(layer, x, PRODUCT, self.plan.compiled) for layer, x in layers], targets.states[1:]
            )
        states = equal_length_states(self.encoder, targets.input_ids, PRODUCT, self.plan.compiled)
        embedding = F.normalize(states[-1].mean(1), dim=-1)
        distance = 1 - (embedding * targets.embedding).sum(1).mean()
        errors = cosine_errors(embedding, targets.embedding, self.bank)
        return distance + 10 * errors + stage.states_weight * layer_loss(states[1:], targets.states[1:])

    def _targets(self, stage: Stage) -> Iterator[Targets]:
        """The batches of a stage, from where the run stands, without end."""
        return self._streamed(stage) if self.plan.workers else self._pooled(stage)

    def _streamed(self, stage: Stage) -> Iterator[Targets]:
        """New texts at every step."""
        seed = f"{self.plan.seed} {stage.name} {self.step}"
        parts = self.texts, stage.mixture, self.tokenizer, self.plan.batch_tokens, seed
        return map(self.teacher, batches_from_processes(*parts, processes=self.plan.workers))

    def _pooled(self, stage: Stage) -> Iterator[Targets]:
        """The batches of one pool on disk after the other."""
        path = self.plan.state / "pool"
        while True:
            made_for = f"{self.plan.seed} {stage.name} {self.pool_number}"
            if Pool.made_for(path) != made_for:
                Pool.write(path, made_for, self._new_targets(stage, random.Random(made_for)))
            pool, rng = Pool(path), random.Random(made_for)
            order = [i for _ in range(POOL_PASSES) for i in rng.sample(range(len(pool)), len(pool))]
            for index in order[self.pool_place :]:
                self.pool_place += 1
                yield Targets(*(tensor.to(self.plan.device) for tensor in pool[index]))
            self.pool_number, self.pool_place = self.pool_number + 1, 0

    def _new_targets(self, stage: Stage, rng: random.Random) -> Iterator[Targets]:
        """The targets of a new pool, from as many texts as give ``POOL_TOKENS`` tokens."""
        tokens = 0
        texts = self.texts.endless(stage.mixture, rng)
        for input_ids in equal_length_batches(texts, self.tokenizer, self.plan.batch_tokens):
            yield self.teacher(input_ids)
            tokens += input_ids.numel()
            if tokens > POOL_TOKENS:
                break

    def _score(self, stage: Stage, loss: float) -> None:
        """Add a row to the curve, and write the average's weights if they are the best so far."""
        scores = self.scores.of(self.average)
        self.curve.add(self.step, stage.name, loss=loss, **scores)
        print(_listed(scores), flush=True)
        if self._worth(scores) > self.best:
            self.best = self._worth(scores)
            save_student(student_tensors(self.average, self.start), self.plan.output)

    def _worth(self, scores: Mapping[str, float]) -> float:
        """What decides which weights are kept. The recurrent form's states matter on long texts only."""
        if self.plan.form == "recurrent":
            return sum(score for name, score in scores.items() if name.startswith("cosine_"))
        return scores["spearman"] + fmean(score for name, score in scores.items() if name.startswith("cosine"))

    def _resume(self) -> None:
        path = self.plan.state / "state.pt"
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=self.plan.device)
        if (state["form"], state["steps"]) != (self.plan.form, self.plan.steps):
            raise LamError(
                f"expected --form {state['form']} --steps {state['steps']}, as the run in {self.plan.state} has, found "
                f"{self.plan.form} and {self.plan.steps}; give those to go on, or another --state for a new run"
            )
        self.encoder.load_state_dict(state["encoder"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.pool_number, self.pool_place, self.best = state["place"]
        self.curve.cut(self.step)
        print(f"going on from step {self.step}", flush=True)

    def _save(self) -> None:
        """Write the run's state."""
        state = {
            "form": self.plan.form,
            "steps": self.plan.steps,
            "encoder": self.encoder.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "place": (self.step, self.pool_number, self.pool_place, self.best),
        }
        place = self.plan.state / "state.pt"
        with drafted_file(place) as draft:
            torch.save(state, draft)
            put_file_in_place(draft, place)
        print(f"saved the state of step {self.step}", flush=True)
