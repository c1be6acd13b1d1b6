"""The int8 graph: what it keeps, how far it may be off, and that an embedding is a matter of its own text alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import FP16_MODEL, INT8_MODEL, MODEL
from lam_engines.embedding.batching import pad
from lam_engines.errors import LamError
from lam_export.cli import onnx as onnx_command
from lam_export.evidence.metrics import THRESHOLDS, diff, row_errors
from lam_export.export.graphs import write_graphs
from lam_export.export.int8 import int8_model
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder
from lam_export.pipelines.export_onnx import export_onnx

pytestmark = pytest.mark.heavy

Session = onnxruntime.InferenceSession

INVARIANT, DEMO_INVARIANT = 0.9999, 0.9995
"""Cosine of a text with itself among others. On x86 no sum in float32 depends on the batch, and embeddings are equal to
the bit; where a sum's last bit does, roundings flip, which was seen to cost 2e-4 on the demo."""


@pytest.fixture(scope="module")
def model(tiny_encoder: Encoder) -> onnx.ModelProto:
    return onnx_from_encoder(tiny_encoder)


def calibration() -> list[dict[str, np.ndarray]]:
    ids = np.random.default_rng(7).integers(5, 100, (1, 300))
    return [{"input_ids": ids, "attention_mask": np.ones_like(ids)}]


@pytest.fixture(scope="module")
def quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    return int8_model(model, calibration())


def session_of(model: onnx.ModelProto | bytes | Path) -> Session:
    content = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return Session(content, providers=["CPUExecutionProvider"])


def texts(vocabulary: int) -> list[np.ndarray]:
    """Random tokens of many lengths, and one token repeated, which has rows of other magnitudes than the rest."""
    random = np.random.default_rng(0)
    rows = [random.integers(5, vocabulary, n) for n in (1, 2, 5, 9, 16, 31, 64, 127, 128, 129, 300)]
    return [*rows, np.full(200, vocabulary // 2)]


def embed(session: Session, ids: Sequence[np.ndarray], width: int = 0) -> np.ndarray:
    """``[n, hidden]``, all in one batch, padded to at least ``width`` tokens."""
    padded, mask = pad(ids, 0)
    fill = ((0, 0), (0, max(width - padded.shape[1], 0)))
    feed = {"input_ids": np.pad(padded, fill), "attention_mask": np.pad(mask, fill)}
    vectors: np.ndarray = session.run(["sentence_embedding"], feed)[0]
    return vectors


def invariance(session: Session, rows: Sequence[np.ndarray]) -> float:
    """The smallest cosine of a text alone with itself in other surroundings."""

    def surroundings() -> Iterator[np.ndarray]:
        yield embed(session, rows)
        yield embed(session, rows[::-1])[::-1]
        yield np.concatenate([embed(session, [row], width=700) for row in rows])
        yield np.concatenate([embed(session, [row, rows[-1], rows[0]])[:1] for row in rows])

    alone = np.concatenate([embed(session, [row]) for row in rows])
    return min(float(row_errors(found, alone).cosine.min()) for found in surroundings())


def naive(model: Path, folder: Path) -> Session:
    """What ONNX Runtime's own dynamic quantisation makes of a model."""
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(model, folder / "naive.onnx", per_channel=True, op_types_to_quantize=["MatMul"])
    return session_of(folder / "naive.onnx")


def test_a_text_is_embedded_alike_in_any_batch(quantised: onnx.ModelProto) -> None:
    assert invariance(session_of(quantised), texts(100)) >= INVARIANT


def test_one_scale_for_a_batch_would_not_pass(model: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(model, tmp_path / MODEL)
    assert invariance(naive(tmp_path / MODEL, tmp_path), texts(100)) < INVARIANT


def test_close_to_float32(model: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    found, expected = (embed(session_of(m), texts(100)) for m in (quantised, model))
    assert diff(found, expected, THRESHOLDS["int8"])
    assert not np.array_equal(found, expected), "nothing was rounded"


def test_parts_keep_their_names(model: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    def values(model: onnx.ModelProto) -> set[str]:
        return {name for node in model.graph.node for name in node.output}

    assert values(model) <= values(quantised)
    assert quantised.functions == model.functions
    (product,) = [node for node in quantised.graph.node if node.name == "layers.1.ffn_in/MatMulInteger"]
    assert product.input[1] == "layers.1.ffn_in.weight.T.int8"


def test_every_product_with_weights_and_the_word_table_are_int8(quantised: onnx.ModelProto) -> None:
    assert sum(node.op_type == "MatMulInteger" for node in quantised.graph.node) == 4 * 2
    kinds = {tensor.name: tensor.data_type for tensor in quantised.graph.initializer}
    assert kinds["embeddings.word.int8"] == onnx.TensorProto.INT8
    assert not [name for name, kind in kinds.items() if name.endswith(".weight.T") or name == "embeddings.word"]


def test_no_operator_of_one_runtime_alone(quantised: onnx.ModelProto, tmp_path: Path) -> None:
    assert {opset.domain for opset in quantised.opset_import} == {"", "com.lam"}
    graph = write_graphs({INT8_MODEL: quantised}, tmp_path, layers=2)[INT8_MODEL]
    assert (graph.precision, graph.inlined) == ("int8", False)


def test_the_same_input_gives_the_same_file(model: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    assert int8_model(model, calibration()).SerializeToString() == quantised.SerializeToString()
    assert model.SerializeToString() == before, "the model that was given is not changed"


def test_sums_of_two_products_fit_in_16_bits(quantised: onnx.ModelProto) -> None:
    """Without VNNI an x86 processor would cut them, and embed otherwise than the machine that checked the bundle."""
    matrices = [numpy_helper.to_array(t) for t in quantised.graph.initializer if t.name.endswith(".weight.T.int8")]
    assert len(matrices) == 8
    for matrix in matrices:
        quads = matrix.astype(np.int64).reshape(-1, 4, matrix.shape[1])
        for sign in (1, -1):
            two_largest = np.sort(np.maximum(sign * quads, 0), axis=1)[:, 2:].sum(axis=1)
            assert 255 * two_largest.max() <= 32767


def test_padding_and_empty_columns(model: onnx.ModelProto) -> None:
    """Rows of zeros (padded heads) and columns of zeros (what pads a packed matrix) have no scale of their own."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name == "layers.0.o_proj.weight.T":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(tensor)), tensor.name))
    found = embed(session_of(int8_model(changed, calibration())), texts(100))
    assert diff(found, embed(session_of(changed), texts(100)), THRESHOLDS["int8"])


def test_exported_with_the_others(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint_folder)
    exported = export_onnx(checkpoint, tmp_path / "bundle", precisions=("int8", "fp16", "fp32"))
    bundle, report = exported.bundle, exported.parity
    assert set(bundle.manifest.graphs) == {MODEL, FP16_MODEL, INT8_MODEL}
    assert {row.graph for row in report.rows} == set(bundle.manifest.graphs)
    with load_engine(bundle.path, precision="int8") as small, load_engine(bundle.path) as large:
        found, expected = (engine.embed(["a red house", "the cat sleeps"]) for engine in (small, large))
    assert diff(found, expected, THRESHOLDS["int8"])


def test_token_embeddings_are_left_out(tiny_encoder: Encoder) -> None:
    model = int8_model(onnx_from_encoder(tiny_encoder, token_embeddings=True), calibration())
    assert [output.name for output in model.graph.output] == ["sentence_embedding"]


def test_the_command(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LamError, match="expected precision fp32, fp16 or int8, found fp8"):
        onnx_command.run(tiny_checkpoint_folder, tmp_path / "bundle", precision=["int8", "fp8"])
    onnx_command.run(tiny_checkpoint_folder, tmp_path / "bundle", precision=["int8", "fp32"])
    assert set(Bundle(tmp_path / "bundle").manifest.graphs) == {MODEL, INT8_MODEL}


@pytest.mark.demo
def test_the_demo(demo_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle(demo_bundle)
    assert bundle.manifest.files[INT8_MODEL].bytes < 0.27 * bundle.manifest.files[MODEL].bytes
    assert bundle.manifest.parity[INT8_MODEL]["cosine"] >= 0.997

    # Ordinary sentences.
    sentences = ["A woman is slicing a tomato.", "Somebody cuts vegetables.", "Rates went up again in March."]
    with load_engine(bundle.path, precision="int8") as small, load_engine(bundle.path) as large:
        assert row_errors(small.embed(sentences), large.embed(sentences)).cosine.min() >= 0.998
    rows = texts(30_000)[2::3]
    assert invariance(session_of(bundle.read(INT8_MODEL)), rows) >= DEMO_INVARIANT
    assert invariance(naive(bundle.path / MODEL, tmp_path), rows) < 0.999
