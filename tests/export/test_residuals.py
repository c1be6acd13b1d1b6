"""Residual sums are left beside their norms."""

from pathlib import Path

import onnx
import onnxruntime

from lam_export.export.trace import onnx_from_encoder
from lam_export.model.encoder import Encoder


def test_onnx_runtime_fuses_no_residual_into_its_slower_kernel(tiny_encoder: Encoder, tmp_path: Path) -> None:
    model = onnx_from_encoder(tiny_encoder)
    sums = [node.name for node in model.graph.node if node.op_type == "Sum"]
    layers = tiny_encoder.config.num_hidden_layers
    assert len(sums) == 2 * layers + 1  # of the embeddings too
    assert "layers.0/Sum" in sums

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert "SkipLayerNormalization" not in operators
    assert operators.count("LayerNormalization") == 2 * layers + 1
