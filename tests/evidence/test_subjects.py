"""What is measured: the reference and a bundle in its runtimes, behind one interface; and what tells them apart."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import bundles
import numpy as np
import pytest
import tiny
import torch

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.contract import OPERATORS_VARIABLE
from lam_engines.embedding.batching import pad
from lam_engines.errors import LamError
from lam_export.evidence.subject import Subject
from lam_export.evidence.subjects import pytorch as module
from lam_export.evidence.subjects.engines import engine_subject
from lam_export.evidence.subjects.pytorch import CheckpointFiles, pytorch_subject
from lam_export.model.checkpoint import Checkpoint, load_checkpoint
from lam_export.model.encoder import Encoder

BATCH = pad([np.arange(5, 5 + n, dtype=np.int64) % tiny.VOCAB for n in (7, 1, 200)], 0)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint_folder: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint_folder)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle(tiny_bundle)


@dataclass(frozen=True)
class Held(CheckpointFiles):
    """A checkpoint that is in no file."""

    checkpoint: Checkpoint | None = None

    def load(self) -> Checkpoint:
        assert self.checkpoint is not None
        return self.checkpoint


def key(bundle: Bundle, checkpoint: Checkpoint, **options: object) -> str:
    """The reference's, with a bundle of the checkpoint's own sizes."""
    own = Bundle(bundle.path)
    sizes = own.manifest.model.model_copy(update=checkpoint.config.to_dict())
    own.manifest = bundle.manifest.model_copy(update={"model": sizes})
    return pytorch_subject(own, Held(checkpoint.weights, checkpoint=checkpoint), **options).key()


def test_the_reference_in_float64_and_float32(
    bundle: Bundle, checkpoint: Checkpoint, tiny_checkpoint_folder: Path
) -> None:
    encoder = Encoder(checkpoint).double()
    expected = encoder(*(torch.from_numpy(array) for array in BATCH))[0].numpy()
    subject = pytorch_subject(bundle, CheckpointFiles(tiny_checkpoint_folder), dtype="float64")
    with subject.load() as engine:
        vectors = engine.embed_ids(*BATCH)
    assert vectors.dtype == np.float64
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-14)
    assert (subject.info.name, subject.info.precision) == ("PyTorch float64", "fp64")
    assert subject.info.runtime == f"torch {torch.__version__}"
    assert (subject.info.artefact, subject.info.sha256) == (checkpoint.weights.name, checkpoint.sha256)
    assert subject.info.bytes == checkpoint.weights.stat().st_size
    single = pytorch_subject(bundle, CheckpointFiles(tiny_checkpoint_folder))
    with single.load() as engine:
        found = engine.embed_ids(*BATCH)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 1e-5
    assert (single.info.name, single.info.precision) == ("PyTorch float32", "fp32")


def test_a_bundle_in_its_engine(bundle: Bundle) -> None:
    import onnxruntime

    subject = engine_subject(bundle)
    with subject.load() as engine, load_engine(bundle.path) as other:
        np.testing.assert_array_equal(engine.embed_ids(*BATCH), other.embed_ids(*BATCH))
    entry = bundle.manifest.files["model.onnx"]
    assert subject.info.model_dump() == {
        "name": "ONNX Runtime fp32",
        "model": "this",
        "precision": "fp32",
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "artefact": "model.onnx",
        "sha256": entry.sha256,
        "bytes": entry.bytes,
    }


@pytest.mark.needs("openvino")
def test_the_inlined_graph_in_openvino(bundle: Bundle) -> None:
    subject, other = engine_subject(bundle, "openvino"), engine_subject(bundle)
    with subject.load() as engine, other.load() as right:
        np.testing.assert_allclose(engine.embed_ids(*BATCH), right.embed_ids(*BATCH), rtol=0, atol=2e-5)
    assert (subject.info.name, subject.info.artefact) == ("OpenVINO fp32", "model.inlined.onnx")
    assert re.fullmatch(r"openvino [0-9.]+", subject.info.runtime)
    assert subject.key() != other.key()


@pytest.mark.needs("openvino")
def test_another_library_of_operators_is_another_subject(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a report would pass on the vectors of an old kernel."""
    plain = engine_subject(bundle, "openvino").key()
    library = tmp_path / "liblam_operators.so"
    monkeypatch.setitem(os.environ, OPERATORS_VARIABLE, str(library))
    library.write_bytes(b"one kernel")
    native = engine_subject(bundle, "openvino")
    assert native.info.name == "OpenVINO fp32, native operator"
    first = native.key()
    library.write_bytes(b"another kernel")
    assert len({plain, first, engine_subject(bundle, "openvino").key()}) == 3
    library.unlink()
    with pytest.raises(LamError, match="expected the library of operators in LAM_OPERATORS, found"):
        native.key()


def test_a_closed_subject_says_so(bundle: Bundle, tiny_checkpoint_folder: Path) -> None:
    for subject in (pytorch_subject(bundle, CheckpointFiles(tiny_checkpoint_folder)), engine_subject(bundle)):
        engine = subject.load()
        engine.close()
        with pytest.raises(LamError, match="closed"):
            engine.embed_ids(*BATCH)


def test_what_is_not_there_is_said_in_one_line(bundle: Bundle, tiny_checkpoint_folder: Path) -> None:
    files = CheckpointFiles(tiny_checkpoint_folder)
    spiral = Bundle(bundle.path)
    spiral.manifest = bundle.manifest.model_copy(update={"form": "spiral"})
    for match, attempt in {
        "float64 or float32, found 'float16'": lambda: pytorch_subject(bundle, files, dtype="float16"),
        "'spiral'.* upgrade": lambda: pytorch_subject(spiral, files),
        "--precision fp16": lambda: engine_subject(bundle, precision="fp16"),
        "expected engine": lambda: engine_subject(bundle, "abacus"),
        "expected device": lambda: engine_subject(bundle, device="tpu").load(),
    }.items():
        with pytest.raises(LamError, match=match) as caught:
            attempt()
        assert str(caught.value).isprintable()


def test_a_batch_that_pytorch_refuses(bundle: Bundle, tiny_checkpoint_folder: Path) -> None:
    with (
        pytorch_subject(bundle, CheckpointFiles(tiny_checkpoint_folder)).load() as engine,
        pytest.raises(LamError, match="PyTorch failed on a batch of 3 x 200 tokens"),
    ):
        engine._infer(BATCH[0], BATCH[1][:, :7])


def test_the_key_of_the_same_model_is_the_same(bundle: Bundle, checkpoint: Checkpoint, tmp_path: Path) -> None:
    other = load_checkpoint(tiny.write_checkpoint(tmp_path / "elsewhere", "model_state_dict", "pickle"))
    assert other.sha256 != checkpoint.sha256
    assert key(bundle, checkpoint) == key(bundle, other)
    assert len(key(bundle, checkpoint)) == 64


def _other_tensor(bundle: Bundle, checkpoint: Checkpoint) -> str:
    name = "deltanet_layers.1.o_norm.weight"
    changed = {**checkpoint.tensors, name: checkpoint.tensors[name] + 1e-7}
    return key(bundle, replace(checkpoint, tensors=changed))


def _other_chunks(bundle: Bundle, checkpoint: Checkpoint) -> str:
    other = Bundle(bundle.path)
    other.manifest = bundle.manifest.model_copy(update={"chunk_size": 64})
    return key(other, checkpoint)


CHANGES: dict[str, Callable[[Bundle, Checkpoint], str]] = {
    "one tensor": _other_tensor,
    "eps": lambda b, c: key(b, replace(c, config=replace(c.config, layer_norm_eps=1e-5))),
    "activations": lambda b, c: key(b, replace(c, config=replace(c.config, ffn_activation_passes=1))),
    "chunk size": _other_chunks,
    "dtype": lambda b, c: key(b, c, dtype="float64"),
    "compiled": lambda b, c: key(b, c, compiled=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_key_changes_with_what_decides_the_vectors(bundle: Bundle, checkpoint: Checkpoint, change: str) -> None:
    assert CHANGES[change](bundle, checkpoint) != key(bundle, checkpoint)


@pytest.mark.parametrize("name", ["_source_sha256", "processor_name"])
def test_the_key_changes_with_the_code_and_the_processor(
    bundle: Bundle, checkpoint: Checkpoint, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(bundle, checkpoint)
    monkeypatch.setattr(module, name, lambda: "another")
    assert key(bundle, checkpoint) != before


@pytest.mark.parametrize("operator", ["fused_delta_rule", "dual_state_delta_rule", "memory_step"])
def test_the_reference_knows_its_own_code(
    operator: str, bundle: Bundle, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every operator's: the other forms compute with other ones."""
    before = key(bundle, checkpoint)
    folder = Path(shutil.copytree(Path(module.lam_plugins.__file__).parent, tmp_path / "lam_plugins"))
    monkeypatch.setattr(module.lam_plugins, "__file__", str(folder / "__init__.py"))
    assert key(bundle, checkpoint) == before
    with (folder / operator / "naive.py").open("a") as file:
        file.write("# changed\n")
    assert key(bundle, checkpoint) != before


def test_the_key_of_a_bundle_is_that_of_its_graph(bundle: Bundle, tmp_path: Path) -> None:
    import onnx

    def engine(path: Path) -> Subject:
        return engine_subject(Bundle(path))

    moved = Path(shutil.copytree(bundle.path, tmp_path / "moved"))
    assert engine(moved).key() == engine(bundle.path).key()
    graph = moved / "model.onnx"
    model = onnx.load(graph)
    model.doc_string = "changed"
    onnx.save(model, graph)
    bundles.forge(moved, lambda fields: fields["files"].update({"model.onnx": file_entry(graph).model_dump()}))
    assert engine(moved).key() != engine(bundle.path).key()
