"""The scripts that make the demo model: the training face is the reference, and a run goes on where it was stopped."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from lam_engines.errors import LamError
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder
from lam_export.model.forms import CHUNK_SIZES
from lam_export.model.forms.packed import FLUX
from lam_export.model.forms.recurrent import Recurrent
from lam_plugins.dual_state_delta_rule import naive as dual_state

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def _recurrent_forward(form: Recurrent, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    weights = (form.conv_weight, form.conv_bias, form.norm_weight, form.decay_bias, dual_state.Flux(*form.flux()))
    return dual_state.dual_state_delta_rule(form.in_proj(x), lengths, *weights, form.chunk_size, form.options)


@pytest.mark.parametrize("form", ["flat", "recurrent"])
@pytest.mark.parametrize("tokens", [1, 2, 31, 127, 128, 129, 300])
def test_the_training_face_is_the_reference_forward_and_backward(
    tokens: int, form: str, tiny_checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill_step import equal_length_states

    monkeypatch.setattr(Recurrent, "forward", _recurrent_forward)  # the operator itself has no backward
    encoder = Encoder(load_checkpoint(tiny_checkpoint_folder), form).double()
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


def test_a_mean_is_of_students_of_one_size() -> None:
    from distill_average import mean_student

    one, two = ({"weight": torch.full((2, 3), value, dtype=torch.float16)} for value in (1.0, 2.0))
    assert (mean_student([one, two])["weight"] == torch.full((2, 3), 1.5)).all()
    for other in ({"weight": torch.ones(3, 2)}, {"bias": torch.ones(2, 3)}):
        with pytest.raises(LamError, match="expected students with the same tensors, found others"):
            mean_student([one, other])


@pytest.fixture
def small_runs(
    tiny_checkpoint_folder: Path, tiny_teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """``small_runs(FOLDER, FORM, STAGES)``: runs of ten steps."""
    import distill_run
    import distill_score
    import distill_texts
    from distill_teacher import Teacher

    for name, value in {"POOL_TOKENS": 60, "LOG_EVERY": 2, "SCORE_EVERY": 2}.items():
        monkeypatch.setattr(distill_run, name, value)
    monkeypatch.setattr(distill_score, "LONG", (8, 12))
    monkeypatch.setattr(distill_texts, "LONGEST", 16)  # the tiny teacher's positions
    sentences = [f"{a} {b} {c}" for a in ("a", "the") for b in ("man", "dog", "girl") for c in ("runs", "plays")]
    dev = tmp_path / "dev.csv"
    dev.write_text("".join(f"{s},{t},{i % 6}\n" for i, (s, t) in enumerate(pairwise(sentences))), "utf-8")

    class Stopped(distill_run.Run):
        stop_after = 0

        def train_step(self, *args: Any) -> torch.Tensor:
            loss = super().train_step(*args)
            self.stopped = self.step == self.stop_after
            return loss

    def run(folder: Path, form: str, stages: Sequence[Any], stop_after: int = 0, workers: int = 0) -> Any:
        output = folder / "student.safetensors"
        plan = distill_run.Plan(form, stages, 10, 0, False, "cpu", 32, workers, folder / "state", output)
        start = load_checkpoint(tiny_checkpoint_folder)
        tokenizer = distill_texts.load_tokenizer(tiny_teacher_folder)
        teacher = Teacher(tiny_teacher_folder, "cpu")
        made = Stopped(plan, distill_texts.Texts(sentences, []), teacher, tokenizer, start, dev)
        made.stop_after = stop_after
        return made

    return run


@pytest.mark.heavy
def test_a_run_goes_on_where_it_was_stopped(small_runs: Callable[..., Any], tmp_path: Path) -> None:
    from distill_curve import Curve
    from distill_run import Stage

    stages = (
        Stage("layers", 0.3, {"sentence": 1}, (1e-3, 0), 1.0, layerwise=True),
        Stage("all", 0.7, {"sentence": 0.5, "joined": 0.5}, (1e-3, 1e-3), 0.3),
    )
    whole = small_runs(tmp_path / "whole", "flat", stages)
    whole.train()
    assert whole.step == 10

    for steps in (2, 5):
        cut = small_runs(tmp_path / "cut", "flat", stages, stop_after=steps)
        cut.train()
        assert cut.step == steps
    with pytest.raises(LamError, match=r"expected --form flat --steps 10.*found recurrent and 10"):
        small_runs(tmp_path / "cut", "recurrent", stages)
    cut = small_runs(tmp_path / "cut", "flat", stages)
    cut.train()

    for name, expected in whole.average.state_dict().items():
        assert torch.equal(cut.average.state_dict()[name], expected), name
    rows = [Curve(tmp_path / name / "student.safetensors").rows for name in ("whole", "cut")]
    for row in (*rows[0], *rows[1]):
        del row["loss"]  # the mean since the run went on
    assert rows[0] == rows[1]
    assert len(rows[0]) == 6
    assert (tmp_path / "cut" / "student.curve.svg").read_text().startswith("<svg")


@pytest.mark.heavy
def test_texts_come_from_processes_and_are_new_after_a_stop(small_runs: Callable[..., Any], tmp_path: Path) -> None:
    from distill_run import Stage

    stages = [Stage("all", 1, {"sentence": 0.5, "joined": 0.5}, (1e-3, 1e-3), 0.3)]
    for stop_after in (4, 0):
        run = small_runs(tmp_path, "flat", stages, stop_after, workers=2)
        run.train()
    assert run.step == 10
    assert (tmp_path / "student.safetensors").exists()


@pytest.mark.heavy
def test_training_the_recurrent_form_leaves_the_flat_one_as_it_is(
    small_runs: Callable[..., Any], tiny_checkpoint_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill_run import Stage
    from distill_student import student_tensors

    monkeypatch.setitem(cast(dict[str, int | None], CHUNK_SIZES), "recurrent", 4)  # so that the texts have several
    run = small_runs(tmp_path, "recurrent", [Stage("states", 1, {"joined": 1}, (1e-2,), 0.3)])
    run.train()
    before = load_checkpoint(tiny_checkpoint_folder).tensors
    after = student_tensors(run.average, run.start)
    assert set(after) == {name for name in before if not name.startswith("embeddings.")}
    for name, tensor in after.items():
        moves_states = name.endswith(("decay_proj.weight", "decay_bias", *FLUX.values()))
        assert torch.equal(tensor, before[name].float()) != moves_states, name
