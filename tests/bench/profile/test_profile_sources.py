"""Real runs on record in each runtime: all time has a part, and the arithmetic is right."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import MODEL
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.onnxruntime.session import session_options
from lam_export.anatomy.arithmetic import operations
from lam_export.anatomy.parts import Place
from lam_export.bench.profile.measure import summed
from lam_export.bench.profile.recorders.onnxruntime import OnnxRuntimeRecorder
from lam_export.bench.profile.recorders.recorder import Recorder
from lam_export.bench.profile.recorders.samples import Run
from lam_export.bench.profile.recorders.tensorrt import layer_places
from lam_export.model.encoder import Encoder

pytestmark = pytest.mark.heavy

BATCH, TOKENS = 2, 150
IDS = np.random.default_rng(0).integers(0, tiny.VOCAB, (BATCH, TOKENS))
PARTS = {"embeddings", "projections", "convolutions", "rule", "gates", "norms", "FFN", "pooling"}


def runs_of(recorder: Recorder, expected: np.ndarray) -> list[Run]:
    for _ in range(3):
        np.testing.assert_allclose(recorder.record(IDS), expected, rtol=0, atol=2e-5)
    return recorder.runs()


def shares(runs: list[Run]) -> dict[str, float]:
    cells, _ = summed(runs)
    total = sum(cell.seconds for cell in cells)
    return {part: sum(c.seconds for c in cells if c.part == part) / total for part in {c.part for c in cells}}


@pytest.fixture(scope="module")
def expected(tiny_engine: EmbeddingEngine) -> np.ndarray:
    return tiny_engine.embed_ids(IDS)


@pytest.fixture(scope="module")
def in_onnxruntime(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory, expected: np.ndarray) -> list[Run]:
    return runs_of(OnnxRuntimeRecorder(Bundle(tiny_bundle), "fp32", 1, tmp_path_factory.mktemp("record")), expected)


def test_onnxruntime(in_onnxruntime: list[Run]) -> None:
    assert len(in_onnxruntime) == 3
    found = shares(in_onnxruntime)
    assert found.keys() >= PARTS
    assert found.get("other", 0) < 0.01
    assert found.get("operator", 0) == 0
    assert all(sum(sample.seconds for sample in run.samples) <= run.seconds for run in in_onnxruntime)


def test_onnxruntime_runs_the_nodes_that_the_engine_runs(
    in_onnxruntime: list[Run], tiny_bundle: Path, tmp_path: Path
) -> None:
    options = session_options(1)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(Bundle(tiny_bundle).read(MODEL), options, providers=["CPUExecutionProvider"])
    engine = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert Counter(sample.kind for sample in in_onnxruntime[0].samples) == engine


def test_arithmetic_of_the_products_with_weights(in_onnxruntime: list[Run]) -> None:
    counted = summed(in_onnxruntime)[1]
    tokens, hidden = BATCH * TOKENS, tiny.HIDDEN
    width = -(-(4 * hidden + 3 * tiny.HEADS) // 64) * 64
    assert counted["projections"] == 2 * tokens * hidden * (width + hidden) * tiny.LAYERS
    products = 4 * tokens * hidden * tiny.FFN * tiny.LAYERS
    assert products < counted["FFN"] < 1.2 * products


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "count"),
    [
        ("MatMul", [(2, 5, 3), (3, 7)], [(2, 5, 7)], 2 * 2 * 5 * 3 * 7),
        ("FusedMatMul", [(2, 4, 5, 3), (2, 4, 6, 3)], [(2, 4, 5, 6)], 2 * 2 * 4 * 5 * 3 * 6),
        ("FusedMatMul", [(3, 5), (3, 7)], [(5, 7)], 2 * 3 * 5 * 7),
        ("Conv", [(1, 24, 9, 1), (24, 1, 4, 1), (24,)], [(1, 24, 9, 1)], 2 * 4 * 24 * 9),
        ("SkipLayerNormalization", [(1, 5, 8)] * 4, [(1, 5, 8)], 5 * 40),
        ("ReduceL2", [(5, 8)], [(5, 1)], 40),
        ("Gelu", [(5, 8)], [(5, 8)], 40),
        ("Transpose", [(5, 8)], [(8, 5)], 0),
        ("MatMul", [(0, 3), (3, 7)], [(0, 7)], 0),
        ("Shape", [], [(2,)], 0),
    ],
)
def test_arithmetic_of_a_node(kind: str, inputs: list, outputs: list, count: float) -> None:
    assert operations(kind, inputs, outputs) == count


@pytest.mark.demo
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_nothing_is_left_over_of_a_full_model(demo_bundle: Path, precision: str, tmp_path: Path) -> None:
    recorder = OnnxRuntimeRecorder(Bundle(demo_bundle), precision, 1, tmp_path)
    for _ in range(2):
        recorder.record(IDS)
    found = shares(recorder.runs())
    assert found.get("other", 0) < 0.01
    assert found["FFN"] > found["embeddings"]


@pytest.mark.needs("openvino")
def test_openvino(tiny_bundle: Path, expected: np.ndarray) -> None:
    from lam_export.bench.profile.recorders.openvino import OpenVinoRecorder

    found = shares(runs_of(OpenVinoRecorder(Bundle(tiny_bundle), "fp32", 1), expected))
    assert found.keys() >= PARTS
    assert found.get("other", 0) < 0.02


def test_pytorch(tiny_encoder: Encoder, expected: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    from lam_export.bench.profile.recorders.pytorch import PyTorchRecorder

    recorder = PyTorchRecorder(tiny_encoder, "cpu", 1)
    runs = runs_of(recorder, expected)
    assert shares(runs).keys() >= PARTS
    assert "other" not in shares(runs)
    assert Counter(s.name for s in runs[0].samples).keys() == Counter(s.name for s in runs[1].samples).keys()
    assert all(not module._forward_hooks for module in tiny_encoder.modules()), "the marks are gone"
    assert capfd.readouterr().err == ""


def test_tensorrt_layers() -> None:
    known = {
        "layers.0.ffn_in/MatMul": Place("FFN", 0),
        "layers.0/Gelu": Place("FFN", 0),
        "layers.0.form/FusedDeltaRule_c128": Place("operator", 0),
        "layers.0.o_proj/MatMul": Place("projections", 0),
    }
    layers = [
        {"Name": "layers.0.form/FusedDeltaRule_c128 [profile 1]", "LayerType": "PluginV3"},
        {"Name": "fused_1", "Metadata": "[ONNX Layer: layers.0.ffn_in/MatMul]\x1e[ONNX Layer: layers.0/Gelu]"},
        {"Name": "mixed", "Metadata": "[ONNX Layer: layers.0.o_proj/MatMul]\x1e[ONNX Layer: layers.0/Gelu]"},
    ]
    assert layer_places(json.dumps({"Layers": layers}), known) == {
        "layers.0.form/FusedDeltaRule_c128": Place("operator", 0),
        "fused_1": Place("FFN", 0),
    }
