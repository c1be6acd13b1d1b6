"""Every layout in which LAM checkpoints are met gives the same model."""

import hashlib
from pathlib import Path

import pytest
import tiny
import torch
from loading import same
from torch import Tensor

from lam_export.model.checkpoint import load_checkpoint

PAIRS = [
    (layout, file_format)
    for layout in tiny.LAYOUTS
    for file_format in tiny.FILE_FORMATS
    if not (layout in tiny.TRAINING and file_format == "safetensors")
]


@pytest.mark.parametrize("config_names", ["bert", "lam", "nested", None])
@pytest.mark.parametrize(("layout", "file_format"), PAIRS)
def test_every_layout_gives_the_same_model(
    layout: str, file_format: str, config_names: str | None, tmp_path: Path, tiny_teacher_folder: Path
) -> None:
    folder = tiny.write_checkpoint(tmp_path, layout, file_format, config_names)
    teacher = tiny_teacher_folder if layout in tiny.NEED_TEACHER else None
    checkpoint = load_checkpoint(folder, teacher)
    assert same(checkpoint, tiny.lam_tensors())
    config = checkpoint.config
    assert (config.hidden_size, config.num_attention_heads, config.head_size) == (32, 2, 16)
    assert (config.num_hidden_layers, config.intermediate_size, config.vocab_size) == (2, 64, 128)
    assert (config.type_vocab_size, config.position_rows, config.layer_norm_eps) == (2, 16, 1e-12)
    assert config.ffn_activation_passes == 2
    assert config.blend == (0.1, 0.9)
    assert checkpoint.notes == ()
    assert checkpoint.sha256 == hashlib.sha256(checkpoint.weights.read_bytes()).hexdigest()
    assert checkpoint.tokenizer == folder / "tokenizer.json"
    assert checkpoint.teacher == (teacher and teacher / "model.safetensors")
    outside = {n for n in checkpoint.tensors if not n.startswith("deltanet_layers.")}
    expected = {n for n in outside if not n.startswith(tiny.FINE_TUNED)} if layout == "fine_tuned" else outside
    assert set(checkpoint.from_teacher) == expected


def test_a_file_alone_is_a_checkpoint(tiny_checkpoint_folder: Path, tiny_teacher_folder: Path, tmp_path: Path) -> None:
    beside = load_checkpoint(tiny_checkpoint_folder / "model.safetensors")
    assert same(beside, tiny.lam_tensors())
    assert beside.tokenizer == tiny_checkpoint_folder / "tokenizer.json"
    bare = tiny.write_weights(tmp_path, tiny.content("layers_alone"), "pickle", "student.pt")
    with_teacher = load_checkpoint(bare, tiny_teacher_folder / "model.safetensors")
    assert same(with_teacher, tiny.lam_tensors())
    assert with_teacher.tokenizer == tiny_teacher_folder / "tokenizer.json"
    alone = load_checkpoint(tiny.write_weights(tmp_path, tiny.content("flat"), "pickle", "all.pt"))
    assert alone.tokenizer is None
    assert alone.teacher is None


def test_fine_tuned_parts_win_over_a_teacher_folder(tmp_path: Path) -> None:
    mine = tiny.lam_tensors()
    teacher = tiny.write_teacher(tmp_path / "teacher", tiny.lam_tensors(seed=1))
    student = {n: t for n, t in mine.items() if not n.startswith("embeddings.")}
    tiny.write_weights(tmp_path, student)
    checkpoint = load_checkpoint(tmp_path, teacher)
    embeddings = {n: t for n, t in tiny.lam_tensors(seed=1).items() if n.startswith("embeddings.")}
    assert same(checkpoint, mine | embeddings)
    assert set(checkpoint.from_teacher) == set(embeddings)


def test_groups_of_a_training_checkpoint_are_read_together(tmp_path: Path) -> None:
    mine = tiny.lam_tensors()
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in mine.items():
        group, _, rest = name.partition(".")
        if group != "embeddings":
            groups.setdefault(group, {})[rest] = tensor
    tiny.write_weights(tmp_path, {**groups, "step": 1}, "pickle")
    teacher = tiny.write_teacher(tmp_path / "teacher", tiny.lam_tensors(seed=1))
    found = load_checkpoint(tmp_path, teacher)
    assert torch.equal(found.tensors["ffn_norms.1.weight"], mine["ffn_norms.1.weight"])


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod."])
def test_wrappers_of_training_are_taken_off(wrapper: str, tmp_path: Path) -> None:
    held = {wrapper + name: t for name, t in tiny.content("flat").items()}
    tiny.write_weights(tmp_path, {"model_state_dict": held}, "pickle")
    assert same(load_checkpoint(tmp_path), tiny.lam_tensors())


def test_a_students_own_position_ids_are_no_part_of_the_model(tmp_path: Path) -> None:
    held = tiny.content("fine_tuned") | {"embeddings.position_ids": torch.arange(tiny.ROWS)[None]}
    tiny.write_weights(tmp_path, held)
    assert same(load_checkpoint(tmp_path), tiny.lam_tensors())


@pytest.mark.parametrize("part", ["token_flux_proj.", "o_norm.gate"])
def test_what_only_training_used_may_be_missing(part: str, tmp_path: Path) -> None:
    tiny.write_weights(tmp_path, {n: t for n, t in tiny.content("flat").items() if part not in n})
    assert same(load_checkpoint(tmp_path), {n: t for n, t in tiny.lam_tensors().items() if part not in n})


def test_the_older_shared_flux_is_read(tmp_path: Path) -> None:
    mine = tiny.lam_tensors()
    for i in range(tiny.LAYERS):
        mine[f"deltanet_layers.{i}.resonance_flux.W_bilinear"] = torch.eye(tiny.HEAD_SIZE)
    assert same(load_checkpoint(tiny.write_checkpoint(tmp_path, tensors=mine)), mine)


def test_a_layer_is_named_without_its_prefix(tiny_checkpoint_folder: Path) -> None:
    layer = load_checkpoint(tiny_checkpoint_folder).layer(1)
    assert torch.equal(layer["o_proj.weight"], tiny.lam_tensors()["deltanet_layers.1.o_proj.weight"])
    assert "resonance_flux.flux_net.0.bias" in layer
