"""A checkpoint to a bundle: what is written, and what is not."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bundles import check_with_sha256sum

from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import BundleError
from lam_export.evidence.cases import LENGTHS
from lam_export.export import trace
from lam_export.export.graphs import ExportError
from lam_export.model.checkpoint import CheckpointError, load_checkpoint
from lam_export.model.encoder import Encoder
from lam_export.pipelines.export_onnx import export_onnx
from lam_export.validate.parity import check_parity


def test_the_bundle_says_what_it_is(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    manifest = Bundle(tiny_bundle).manifest
    checkpoint = load_checkpoint(tiny_checkpoint_folder)
    assert manifest.model.model_dump() == checkpoint.config.to_dict()
    assert (manifest.form, manifest.chunk_size) == ("flat", 128)
    assert manifest.checkpoint.sha256 == checkpoint.sha256
    assert manifest.max_tokens_tested == max(LENGTHS)
    assert manifest.parity["model.onnx"]["max_abs"] <= 2e-5
    assert {"lam-export", "torch", "onnx", "onnxruntime"} <= set(manifest.tools)
    assert set(manifest.files) == {"model.onnx", "model.inlined.onnx", "tokenizer.json", "tokenizer_config.json"}
    assert str(tiny_checkpoint_folder.parent) not in (tiny_bundle / "manifest.json").read_text()
    check_with_sha256sum(tiny_bundle)


def test_the_bundles_tokenizer_neither_truncates_nor_pads(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    before = json.loads((tiny_checkpoint_folder / "tokenizer.json").read_text())
    after = json.loads((tiny_bundle / "tokenizer.json").read_text())
    assert before["truncation"]
    assert before["padding"]
    assert after["truncation"] is None
    assert after["padding"] is None
    assert after["model"] == before["model"]


@pytest.mark.heavy
@pytest.mark.parametrize("fault", ["one_gelu", "no_length_interpolation", "chunk_size", "blend"])
def test_an_export_that_does_not_match_is_not_written(
    fault: str, tiny_checkpoint_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults that leave an STS score almost as it was, put into what is exported and not into the reference."""

    sound = trace.onnx_from_encoder

    def faulty(encoder: Encoder, **options: object) -> object:
        encoder = copy.deepcopy(encoder)
        for layer in encoder.layers:
            if fault == "one_gelu":
                layer.activation_passes = 1
            elif fault == "chunk_size":
                layer.form.chunk_size = encoder.chunk_size = 127
            elif fault == "blend":
                layer.form.blend = torch.tensor([0.11, 0.89])
        if fault == "no_length_interpolation":
            with torch.no_grad():
                encoder.embeddings.position[-1] *= 1.01
        return sound(encoder, **options)

    monkeypatch.setattr(trace, "onnx_from_encoder", faulty)
    with pytest.raises(ExportError, match="does not match the reference"):
        export_onnx(load_checkpoint(tiny_checkpoint_folder), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_validate_sees_another_checkpoint(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    encoder = Encoder(load_checkpoint(tiny_checkpoint_folder))
    encoder.layers[0].ffn_norm.weight.mul_(1.01)
    report = check_parity(Bundle(tiny_bundle), encoder)
    assert not report.passed


def test_parity_of_every_graph(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    report = check_parity(Bundle(tiny_bundle), Encoder(load_checkpoint(tiny_checkpoint_folder)))
    assert report.passed
    assert {row.graph for row in report.rows} == {"model.onnx", "model.inlined.onnx"}
    assert {row.tokens for row in report.rows} >= set(LENGTHS)
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True


def test_a_checkpoint_without_a_tokenizer(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    checkpoint = replace(load_checkpoint(tiny_checkpoint_folder), tokenizer=None)
    with pytest.raises(CheckpointError, match=r"expected tokenizer\.json .* --teacher DIR"):
        export_onnx(checkpoint, tmp_path / "bundle")


def test_a_bundle_is_not_replaced_unless_told(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    before = (tiny_bundle / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="--force"):
        export_onnx(load_checkpoint(tiny_checkpoint_folder), tiny_bundle)
    assert (tiny_bundle / "manifest.json").read_bytes() == before
