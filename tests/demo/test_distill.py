"""The scripts that make the demo model: the training face is the reference, and a run goes on where it was stopped."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.mark.parametrize("tokens", [1, 2, 31, 127, 128, 129, 300])
def test_the_training_face_is_the_reference_forward_and_backward(tokens: int, tiny_checkpoint_folder: Path) -> None:
    from distill_step import equal_length_states

    encoder = Encoder(load_checkpoint(tiny_checkpoint_folder)).double()
    encoder.layers.requires_grad_()
    generator = torch.Generator().manual_seed(tokens)
    ids, mask = torch.randint(1, 100, (3, tokens), generator=generator), torch.ones(3, tokens, dtype=torch.int64)
    weights = torch.randn(3, tokens, encoder.config.hidden_size, dtype=torch.float64, generator=generator)

    grads = []
    outputs = encoder(ids, mask)[1], equal_length_states(encoder, ids, torch.float64, compiled=False)[-1]
    for output in outputs:
        (output * weights).sum().backward()
        grads.append({name: p.grad for name, p in encoder.layers.named_parameters()})
        encoder.zero_grad()

    assert (outputs[0] - outputs[1]).abs().max() < 1e-12
    for name, expected in grads[0].items():
        found = grads[1][name]
        assert expected is not None
        assert found is not None, name
        assert (found - expected).norm() <= 1e-9 * expected.norm() + 1e-12, name


def test_batches_hold_texts_of_one_length_and_lose_none(tiny_teacher_folder: Path) -> None:
    from distill_texts import EXACT, equal_length_batches, grid_length, load_tokenizer

    tokenizer = load_tokenizer(tiny_teacher_folder)
    texts = [" ".join(["word"] * n) for n in (1, 2, 5, 5, 5, 30, 31, 40, 130, 600, 5)]
    batches = list(equal_length_batches(texts, tokenizer, 64))
    assert sum(len(batch) for batch in batches) == len(texts)
    for batch in batches:
        assert batch.numel() <= 64 or len(batch) == 1
        assert (batch[:, -1] == tokenizer.encode("").ids[-1]).all()  # a text that was cut has its end
    for tokens in range(1, 513):
        assert tokens / 1.13 < grid_length(tokens) <= tokens
        assert grid_length(tokens) == tokens or tokens > EXACT


def test_sentences_of_the_test_split_are_left_out_however_they_are_written(tmp_path: Path) -> None:
    from distill_demo import sentences_of
    from distill_texts import normalised

    path = tmp_path / "train.csv"
    path.write_text('"A man plays.",  a MAN plays!,3\nA dog runs.,A dog runs.,5\n', encoding="utf-8")
    assert sentences_of([path], {normalised("A man plays")}) == ["A dog runs."]


def test_a_blend_follows_its_sentences() -> None:
    from distill_texts import Texts

    sentences = ["a man is playing a guitar", "a girl is playing a flute", "the dog runs"]
    blends = {Texts(sentences, []).blend(random.Random(i)) for i in range(50)}
    assert "a man is playing a flute" in blends
    assert blends - set(sentences)


def test_no_excluded_sentence_comes_about_by_chance() -> None:
    from distill_texts import Texts, normalised

    sentences = ["a man is playing a guitar", "a girl is playing a flute"]
    texts = Texts(sentences, [], {normalised("A man is playing a flute.")})
    made = texts.of({"blend": 1}, 100, random.Random(0))
    assert "a girl is playing a guitar" in made
    assert "a man is playing a flute" not in made


@pytest.mark.heavy
def test_a_run_goes_on_where_it_was_stopped(
    tiny_checkpoint_folder: Path, tiny_teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distill_run
    import distill_score
    import distill_texts
    from distill_curve import Curve
    from distill_run import Plan, Run, Stage
    from distill_teacher import Teacher
    from distill_texts import Texts, load_tokenizer

    for name, value in {"POOL_TOKENS": 60, "BATCH_TOKENS": 32, "LOG_EVERY": 2, "SCORE_EVERY": 2}.items():
        monkeypatch.setattr(distill_run, name, value)
    monkeypatch.setattr(distill_score, "LONG", (8, 12))
    monkeypatch.setattr(distill_texts, "LONGEST", 16)  # the tiny teacher's positions
    sentences = [f"{a} {b} {c}" for a in ("a", "the") for b in ("man", "dog", "girl") for c in ("runs", "plays")]
    dev = tmp_path / "dev.csv"
    dev.write_text("".join(f"{s},{t},{i % 6}\n" for i, (s, t) in enumerate(pairwise(sentences))), "utf-8")
    stages = (
        Stage("layers", 0.3, {"sentence": 1}, 1e-3, 0, 1.0, layerwise=True),
        Stage("all", 0.7, {"sentence": 0.5, "joined": 0.5}, 1e-3, 1e-3, 0.3),
    )

    class Stopped(Run):
        stop_after = 0

        def train_step(self, *args: Any) -> float:
            loss = super().train_step(*args)
            self.stopped = self.step == self.stop_after
            return loss

    def run(folder: Path, stop_after: int = 0) -> Run:
        plan = Plan(stages, 10, 0, False, "cpu", folder / "state", folder / "student.safetensors")
        start = load_checkpoint(tiny_checkpoint_folder)
        tokenizer = load_tokenizer(tiny_teacher_folder)
        made = Stopped(plan, Texts(sentences, []), Teacher(tiny_teacher_folder, "cpu"), tokenizer, start, dev)
        made.stop_after = stop_after
        return made

    whole = run(tmp_path / "whole")
    whole.train()
    assert whole.step == 10

    for steps in (2, 5):
        cut = run(tmp_path / "cut", stop_after=steps)
        cut.train()
        assert cut.step == steps
    cut = run(tmp_path / "cut")
    cut.train()

    for name, expected in whole.average.state_dict().items():
        assert torch.equal(cut.average.state_dict()[name], expected), name
    rows = [Curve(tmp_path / name / "student.safetensors").rows for name in ("whole", "cut")]
    for row in (*rows[0], *rows[1]):
        del row["loss"]  # the mean since the run went on
    assert rows[0] == rows[1]
    assert len(rows[0]) == 6
    assert (tmp_path / "cut" / "student.curve.svg").read_text().startswith("<svg")
