"""Files that are no LAM checkpoint are refused in one line; code in a pickle is not run."""

import os
from pathlib import Path

import pytest
import tiny
import torch
from loading import refusal, same

from lam_export.model.checkpoint import CheckpointError, load_checkpoint


def test_nothing_there(tmp_path: Path) -> None:
    assert "found nothing at" in refusal(tmp_path / "nowhere")
    assert "found none" in refusal(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "found none" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "SHA256SUMS"])
def test_a_link_that_leads_nowhere_is_not_the_absence_of_a_file(name: str, tmp_path: Path) -> None:
    """Without its config, or with other weights in the folder, it would be another model without a word."""
    folder = tiny.write_checkpoint(tmp_path / "lam")
    if name == "model.safetensors":
        torch.save(tiny.lam_tensors(), folder / "pytorch_model.bin")
    (folder / name).unlink(missing_ok=True)
    for target in ("../blobs/none", name):
        (folder / name).symlink_to(target)
        with pytest.raises(CheckpointError, match=f"{name}, found a link that leads nowhere; copy it again"):
            load_checkpoint(folder)
        (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(CheckpointError, match=f"{name}, found a folder or device"):
        load_checkpoint(folder)


def test_several_candidates_are_named(tmp_path: Path) -> None:
    for name in ("step_200.pt", "step_100.pt"):
        tiny.write_weights(tmp_path, tiny.content("flat"), "pickle", name)
    assert "found step_100.pt, step_200.pt; name the file itself" in refusal(tmp_path)
    assert same(load_checkpoint(tmp_path / "step_100.pt"), tiny.lam_tensors())
    tiny.write_weights(tmp_path, tiny.content("flat"))
    assert load_checkpoint(tmp_path).weights.name == "model.safetensors"


def test_a_plain_bert_can_only_be_the_teacher(tiny_teacher_folder: Path) -> None:
    message = refusal(tiny_teacher_folder)
    assert "a plain BERT" in message
    assert "--teacher DIR" in message


def test_a_teacher_that_is_a_lam(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    tiny.write_weights(tmp_path, tiny.content("layers_alone"))
    assert "expected a BERT as the teacher, found LAM layers" in refusal(tmp_path, tiny_checkpoint_folder)


def test_layers_alone_need_a_teacher(tmp_path: Path) -> None:
    tiny.write_weights(tmp_path, tiny.content("layers_alone"))
    assert "--teacher DIR" in refusal(tmp_path)
    assert "found nothing at" in refusal(tmp_path, tmp_path / "nowhere")


def test_a_teacher_of_another_size(tmp_path: Path) -> None:
    teacher = {n: t[..., :16] if "word_embeddings" in n else t for n, t in tiny.bert_tensors().items()}
    (tmp_path / "teacher").mkdir()
    tiny.write_weights(tmp_path / "teacher", {n: t.contiguous() for n, t in teacher.items()})
    tiny.write_weights(tmp_path, tiny.content("layers_alone"))
    assert "misshapen tensors" in refusal(tmp_path, tmp_path / "teacher")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([1, 2], "expected a dictionary of tensors"),
        (torch.ones(3), "expected a dictionary of tensors"),
        ({}, "found nothing"),
        ({"model_state_dict": {}}, "expected tensors in model_state_dict, found nothing"),
        ({"epoch": 3, "lr": 0.1}, "found epoch, lr that are none"),
        ({"model_state_dict": {"deltanet_layers.0.q_proj.weight": [1.0]}}, "expected tensors in model_state_dict"),
        ({"deltanet_layers": {0: {"q_proj.weight": torch.ones(2)}}}, "expected tensors in deltanet_layers"),
        ({"conv.weight": torch.ones(2)}, "found 1 other tensors (conv.weight"),
    ],
)
def test_files_that_hold_something_else(held: object, said: str, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "pytorch_model.bin")
    assert said in refusal(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "student.pt"])
@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"PK\x03\x04", b"{}", b"version https://git-lfs.github.com/spec/v1\n", b"\xff" * 64, b"\x80\x02."],
)
def test_files_that_are_no_checkpoint(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert name in refusal(tmp_path)


@pytest.mark.parametrize("written_as", tiny.FILE_FORMATS)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_under_the_other_formats_name(written_as: str, name: str, tmp_path: Path) -> None:
    tiny.write_weights(tmp_path, tiny.content("flat"), written_as, name)
    if (written_as == "safetensors") == (name == "model.safetensors"):
        assert same(load_checkpoint(tmp_path), tiny.lam_tensors())
    else:
        assert name in refusal(tmp_path)


class Code:
    """Pickles as a call that makes the folder ``marker``."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("file_format", ["pickle", "legacy_pickle"])
@pytest.mark.parametrize("where", ["whole", "beside", "inside"])
def test_code_in_a_pickle_is_not_run(where: str, file_format: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    held = {
        "whole": Code(marker),
        "beside": tiny.content("flat") | {"step": Code(marker)},
        "inside": tiny.content("model_state_dict") | {"config": {"hidden_size": Code(marker)}},
    }[where]
    path = tiny.write_weights(tmp_path, held, file_format)  # type: ignore[arg-type]
    assert "opening it could run code" in refusal(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the file is live
    assert marker.exists()
