"""Checkpoints as trainers and the Hub leave them: read, or refused with the command that makes them readable."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from loading import refusal, same
from safetensors.torch import save_file
from torch import Tensor

from lam_export.model.checkpoint import load_checkpoint

Tensors = dict[str, Tensor]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 94829696\n"


def flat() -> Tensors:
    return tiny.content("flat")


def sharded(folder: Path, kind: str = "safetensors", count: int = 3) -> Path:
    """The checkpoint in several files, as ``save_pretrained`` splits a large one; returns the index."""
    weight_map: dict[str, str] = {}
    stem = "model" if kind == "safetensors" else "pytorch_model"
    for i in range(count):
        part = dict(list(flat().items())[i::count])
        name = f"{stem}-{i + 1:05}-of-{count:05}.{kind}"
        save_file(part, folder / name) if kind == "safetensors" else torch.save(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    index = folder / f"{stem}.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return index


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_weights_in_several_files(kind: str, tmp_path: Path) -> None:
    tiny.write_tokenizer(tmp_path / "tokenizer.json")
    index = sharded(tmp_path, kind)
    found = load_checkpoint(tmp_path)
    assert same(found, tiny.lam_tensors())
    assert (found.weights, found.layout) == (index, f"{kind} state dict")
    assert found.tokenizer == tmp_path / "tokenizer.json"
    assert load_checkpoint(index).sha256 == found.sha256
    part = tmp_path / index.read_text().split('": "')[1].split('"')[0]
    assert f"is one of several files with weights; name their folder: {tmp_path}" in refusal(part)
    content = part.read_bytes()
    part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    if kind == "safetensors":
        assert load_checkpoint(tmp_path).sha256 != found.sha256, "the hash covers the files, not only the index"


def test_files_of_an_index_that_do_not_fit(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    whole = json.loads(index.read_text())

    def with_map(change: Callable[[dict[str, Any]], object]) -> str:
        content = json.loads(json.dumps(whole))
        change(content["weight_map"])
        index.write_text(json.dumps(content))
        return refusal(tmp_path)

    name = next(iter(whole["weight_map"]))
    assert f"disagree about the tensor {name}" in with_map(lambda m: m.pop(name))
    assert "disagree about the tensor extra" in with_map(lambda m: m.update(extra=m[name]))
    assert "names x.safetensors, which is not beside it" in with_map(lambda m: m.update(extra="x.safetensors"))
    for bad in ("../x.safetensors", "/etc/passwd", "a/x.bin", "config.json", 3, None):
        assert "expected names of files beside" in with_map(lambda m, bad=bad: m.update(extra=bad))
    assert "expected a weight_map" in with_map(lambda m: m.clear())
    index.write_text(json.dumps(whole))
    save_file({name: flat()[name]}, tmp_path / "model-00002-of-00003.safetensors")
    assert "once in the files of" in refusal(tmp_path)


def test_several_files_without_their_index(tmp_path: Path) -> None:
    sharded(tmp_path).unlink()
    assert "or several with model.safetensors.index.json) in" in refusal(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_wrappers_in_any_order_and_depth(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    wrappers = ["module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."]

    def wrapped(name: str) -> str:
        parts = name.split(".")
        at = rng.randrange(len(parts)) if seed % 2 else 0
        return ".".join([*parts[:at], "".join(chosen) + parts[at], *parts[at + 1 :]])

    chosen = rng.sample(wrappers, rng.randint(1, 4))
    tiny.write_weights(tmp_path, {wrapped(name): t for name, t in flat().items()}, "pickle")
    assert same(load_checkpoint(tmp_path), tiny.lam_tensors())


def under(prefix: str, tensors: Tensors | None = None) -> Tensors:
    return {prefix + name: t for name, t in (tensors or flat()).items()}


MOMENTS = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]}
TRAINERS: dict[str, dict[str, Any]] = {
    "Lightning": {
        "state_dict": under("model."),
        "pytorch-lightning_version": "2.5.0",
        "epoch": 3,
        "global_step": 900,
        "optimizer_states": [MOMENTS],
        "lr_schedulers": [],
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.8)}},
        "hyper_parameters": {"lr": 0.001},
    },
    "Lightning with torch.compile": {"state_dict": under("student._orig_mod."), "epoch": 3},
    "Lightning with DDP inside": {"state_dict": under("net.encoder.module."), "epoch": 3},
    "DeepSpeed": {"module": flat(), "ds_version": "0.18", "global_steps": 5, "optimizer": None},
    "a model and its optimizer": {"model": flat(), "optimizer": MOMENTS, "step": 5},
    "sentence-transformers": under("0.auto_model."),
    "an encoder in a model": under("encoder."),
    "a teacher beside the model": under("model.", tiny.content("layers_alone"))
    | {name: t for name, t in flat().items() if name.startswith("teacher_model.")},
}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_training_checkpoints(trainer: str, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(TRAINERS[trainer], path)
    torch.save(MOMENTS, tmp_path / "optimizer.pt")
    torch.save({"seed": 1}, tmp_path / "rng_state_0.pth")
    assert same(load_checkpoint(tmp_path), tiny.lam_tensors())
    assert load_checkpoint(path).weights == path


def test_two_models_in_one_file(tmp_path: Path) -> None:
    tiny.write_weights(tmp_path, {"state_dict": under("model.") | under("ema.")}, "pickle")
    assert "expected LAM layers once, found them under 'ema.', 'model.'; keep one of them" in refusal(tmp_path)


@pytest.mark.parametrize("other", ["ema", "model_state_dict", "averaged"])
def test_a_model_and_its_average_beside_each_other(tmp_path: Path, other: str) -> None:
    """Which of them is meant is not known, and they embed differently."""
    averaged = {name: tensor / 2 for name, tensor in tiny.lam_tensors().items()}
    tiny.write_weights(tmp_path, {"model": tiny.lam_tensors(), other: averaged}, "pickle")
    found = ", ".join(sorted(["model", other]))
    assert f"expected LAM layers once, found them under {found}; keep one of them" in refusal(tmp_path)


def test_a_head_behind_the_encoder_is_not_dropped(tmp_path: Path) -> None:
    """With a layer that the export does not know, the embeddings would be others, without an error."""
    tiny.write_weights(tmp_path, under("model.") | {"projection.weight": torch.ones(2, 2)}, "pickle")
    assert "unexpected tensor projection.weight" in refusal(tmp_path)


def test_accelerates_folder(tmp_path: Path) -> None:
    tiny.write_weights(tmp_path, under("module."))
    for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl", "scaler.pt"):
        torch.save(MOMENTS, tmp_path / name)
    assert same(load_checkpoint(tmp_path), tiny.lam_tensors())
    (tmp_path / "model.safetensors").unlink()
    tiny.write_weights(tmp_path, flat(), "pickle", "pytorch_model_fsdp.bin")
    assert same(load_checkpoint(tmp_path), tiny.lam_tensors())


def test_deepspeeds_folder(tmp_path: Path) -> None:
    (tmp_path / "latest").write_text("global_step5\n")
    (tmp_path / "global_step5").mkdir()
    assert "zero_to_fp32.py" in refusal(tmp_path)
    held = {"module": {name: t.bfloat16() for name, t in flat().items()}, "ds_version": "0.18"}
    torch.save(held, tmp_path / "global_step5" / "mp_rank_00_model_states.pt")
    tiny.write_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text('{"pad_token_id": 7}')
    found = load_checkpoint(tmp_path)
    assert (found.notes, found.config.pad_token_id) == ((), 7)
    assert found.tokenizer == tmp_path / "tokenizer.json"
    torch.save({}, tmp_path / "global_step5" / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    found = load_checkpoint(tmp_path)
    assert same(found, {name: t.bfloat16() for name, t in tiny.lam_tensors().items()})
    assert found.notes == (
        "these are the weights that DeepSpeed computed with; its zero_to_fp32.py gives them in float32",
    )
    for step in ("../../etc", "/etc", "", ".", ".."):
        (tmp_path / "latest").write_text(step)
        assert "expected DeepSpeed's weights in" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json", "tokenizer.json"])
def test_pointers_of_git_lfs(name: str, tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path, file_format="pickle" if name.endswith("bin") else "safetensors")
    (folder / name).write_bytes(POINTER)
    assert f"{name} is a Git LFS pointer, not the file itself; run in its folder: git lfs pull" in refusal(folder)


def test_a_pointer_among_several_files(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").write_bytes(POINTER)
    assert "model-00002-of-00003.safetensors is a Git LFS pointer" in refusal(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_config_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_bytes()) | {"pad_token_id": 7}
    (folder / "config.json").write_text(json.dumps(config), encoding=encoding)
    assert load_checkpoint(folder).config.pad_token_id == 7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("file_format", ["safetensors", "pickle"])
def test_weights_of_other_precisions_are_exact(dtype: torch.dtype, file_format: str, tmp_path: Path) -> None:
    expected = {name: t.to(dtype) for name, t in tiny.lam_tensors().items()}
    found = load_checkpoint(tiny.write_checkpoint(tmp_path, file_format=file_format, tensors=expected))
    assert same(found, expected)
    assert {t.dtype for t in found.tensors.values()} == {dtype}


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (
            "user/lam-small",
            "; only local folders are read. Download it: hf download user/lam-small --local-dir lam-small",
        ),
        ("sentence-transformers/all-MiniLM-L6-v2", "--local-dir all-MiniLM-L6-v2"),
        ("lam-small", None),
        ("./user/lam-small/", "hf download user/lam-small"),  # a Path knows no other spelling
        ("a/b/c", None),
        ("../models/lam", None),
        ("~/models", None),
        ("user/lam small", None),
    ],
)
def test_a_name_of_the_hub(name: str, command: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(Path(name))
    assert message.endswith(command) if command and command[0] in ";-" else ("hf download" in message) == bool(command)


def test_a_checkpoint_in_hugging_faces_cache(tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path / "snapshots" / "0a1b")
    (tmp_path / "blobs").mkdir()
    for i, path in enumerate(sorted(folder.iterdir())):
        path.rename(tmp_path / "blobs" / str(i))
        path.symlink_to(f"../../blobs/{i}")
    found = load_checkpoint(folder)
    assert same(found, tiny.lam_tensors())
    assert found.tokenizer == folder / "tokenizer.json"
