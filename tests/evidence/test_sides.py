"""What is compared: the reference and a bundle's graphs, behind one interface; and what tells them apart."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import bundles
import numpy as np
import pytest
import tiny
import torch

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.embedding.batching import pad
from lam_engines.errors import LamError
from lam_export.evidence import sides
from lam_export.evidence.sides import Side, engine_side, reference_side
from lam_export.model.checkpoint import Checkpoint, load_checkpoint
from lam_export.model.encoder import Encoder

BATCH = pad([np.arange(5, 5 + n, dtype=np.int64) % tiny.VOCAB for n in (7, 1, 200)], 0)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint_folder: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint_folder)


def reference(checkpoint: Checkpoint, **options: object) -> Side:
    return reference_side(checkpoint, **({"form": "flat", "chunk_size": 128} | options))


def test_the_reference_in_float64_and_float32(checkpoint: Checkpoint) -> None:
    encoder = Encoder(checkpoint).double()
    expected = encoder(*(torch.from_numpy(array) for array in BATCH))[0].numpy()
    with reference(checkpoint) as side:
        vectors = side.run(*BATCH)
        assert vectors.dtype == np.float64
        np.testing.assert_array_equal(vectors, expected)
        assert (side.info.name, side.info.precision) == ("PyTorch float64", "fp64")
        assert side.info.runtime == f"torch {torch.__version__}"
        assert (side.info.artefact, side.info.sha256) == (checkpoint.weights.name, checkpoint.sha256)
        assert side.info.bytes == checkpoint.weights.stat().st_size
    with reference(checkpoint, dtype="float32") as single:
        found = single.run(*BATCH)
        assert found.dtype == np.float32
        assert 0 < np.abs(found - expected).max() < 1e-5
        assert (single.info.name, single.info.precision) == ("PyTorch float32", "fp32")


def test_a_bundle_in_its_engine(tiny_bundle: Path) -> None:
    import onnxruntime

    bundle = Bundle(tiny_bundle)
    with engine_side(bundle) as side, load_engine(tiny_bundle) as engine:
        np.testing.assert_array_equal(side.run(*BATCH), engine.embed_ids(*BATCH))
        entry = bundle.manifest.files["model.onnx"]
        assert side.info.model_dump() == {
            "name": "ONNX Runtime model.onnx",
            "precision": "fp32",
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "artefact": "model.onnx",
            "sha256": entry.sha256,
            "bytes": entry.bytes,
        }


def test_the_inlined_graph_in_openvino(tiny_bundle: Path) -> None:
    if find_spec("openvino") is None:  # not importorskip: the import alone sends a usage report
        pytest.skip("no OpenVINO")
    bundle = Bundle(tiny_bundle)
    with engine_side(bundle, engine="openvino") as side, engine_side(bundle) as other:
        np.testing.assert_allclose(side.run(*BATCH), other.run(*BATCH), rtol=0, atol=2e-5)
        assert (side.info.name, side.info.artefact) == ("OpenVINO model.inlined.onnx", "model.inlined.onnx")
        assert re.fullmatch(r"openvino [0-9.]+", side.info.runtime)
        assert side.key != other.key


def test_a_closed_side_says_so(checkpoint: Checkpoint, tiny_bundle: Path) -> None:
    for side in (reference(checkpoint), engine_side(Bundle(tiny_bundle))):
        side.close()
        with pytest.raises(LamError, match="closed"):
            side.run(*BATCH)


def test_what_is_not_there_is_said_in_one_line(checkpoint: Checkpoint, tiny_bundle: Path) -> None:
    bundle = Bundle(tiny_bundle)
    for match, attempt in {
        "float64 or float32, found 'float16'": lambda: reference(checkpoint, dtype="float16"),
        "'spiral'.* upgrade": lambda: reference(checkpoint, form="spiral"),
        "--precision fp16": lambda: engine_side(bundle, precision="fp16"),
        "expected engine": lambda: engine_side(bundle, engine="abacus"),
        "expected device": lambda: engine_side(bundle, device="tpu"),
    }.items():
        with pytest.raises(LamError, match=match) as caught:
            attempt()
        assert str(caught.value).isprintable()


def test_a_batch_that_pytorch_refuses(checkpoint: Checkpoint) -> None:
    with pytest.raises(LamError, match="PyTorch failed on a batch of 3 x 200 tokens"):
        reference(checkpoint).run(BATCH[0], BATCH[1][:, :7])


def test_the_key_of_the_same_model_is_the_same(checkpoint: Checkpoint, tmp_path: Path) -> None:
    other = load_checkpoint(tiny.write_checkpoint(tmp_path / "elsewhere", "model_state_dict", "pickle"))
    assert other.sha256 != checkpoint.sha256
    assert reference(checkpoint).key == reference(other).key
    assert len(reference(checkpoint).key) == 64


def _other_tensor(checkpoint: Checkpoint) -> Side:
    name = "deltanet_layers.1.o_norm.weight"
    return reference(replace(checkpoint, tensors={**checkpoint.tensors, name: checkpoint.tensors[name] + 1e-7}))


CHANGES: dict[str, Callable[[Checkpoint], Side]] = {
    "one tensor": _other_tensor,
    "eps": lambda c: reference(replace(c, config=replace(c.config, layer_norm_eps=1e-5))),
    "activations": lambda c: reference(replace(c, config=replace(c.config, ffn_activation_passes=1))),
    "chunk size": lambda c: reference(c, chunk_size=64),
    "dtype": lambda c: reference(c, dtype="float32"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_key_changes_with_what_decides_the_vectors(checkpoint: Checkpoint, change: str) -> None:
    assert CHANGES[change](checkpoint).key != reference(checkpoint).key


@pytest.mark.parametrize("name", ["_source_sha256", "_hardware"])
def test_the_key_changes_with_the_code_and_the_processor(
    checkpoint: Checkpoint, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reference(checkpoint).key
    monkeypatch.setattr(sides, name, lambda **_: "another")
    assert reference(checkpoint).key != before


def test_the_reference_knows_its_own_code() -> None:
    assert sides._source_sha256() == sides._source_sha256()
    assert "naive.py" in {p.name for p in Path(sides.lam_plugins.fused_delta_rule.__file__).parent.glob("*.py")}
    assert "encoder.py" in {p.name for p in Path(sides.lam_export.model.__file__).parent.glob("*.py")}


def test_the_key_of_a_bundle_is_that_of_its_graph(tiny_bundle: Path, tmp_path: Path) -> None:
    import onnx

    moved = shutil.copytree(tiny_bundle, tmp_path / "moved")
    assert engine_side(Bundle(moved)).key == engine_side(Bundle(tiny_bundle)).key
    graph = moved / "model.onnx"
    model = onnx.load(graph)
    model.doc_string = "changed"
    onnx.save(model, graph)
    bundles.forge(moved, lambda fields: fields["files"].update({"model.onnx": file_entry(graph).model_dump()}))
    assert engine_side(Bundle(moved)).key != engine_side(Bundle(tiny_bundle)).key
