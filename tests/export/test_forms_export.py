"""The recurrent and the parallel form as ONNX graphs: bundles that were compared, their structure, every option."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
import torch
from commands import lam_export, refusal

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_export.evidence.cases import LENGTHS
from lam_export.export.mixed_precision import half_parts
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder
from lam_export.pipelines.export_onnx import export_onnx
from lam_export.validate.report.parts import part_errors
from lam_plugins.fused_delta_rule import OP_DOMAIN

pytestmark = pytest.mark.heavy

EXTRA = {"recurrent": "fp16", "parallel": "int8"}
FORMS = tuple(EXTRA)
OPTIONS = {"cross_coupling": False, "final_norm": "end", "readout_norm": False, "surprise_threshold": 0.55}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint in each layout of the flux."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        layout: tiny.write_checkpoint(folder / layout, tensors=tiny.lam_tensors(shared_flux=layout == "shared"))
        for layout in ("per-head", "shared")
    }


@pytest.fixture(scope="module")
def bundles(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A verified bundle of each form, with a second graph."""
    folder = tmp_path_factory.mktemp("bundles")
    checkpoint = load_checkpoint(folders["per-head"])
    for form in FORMS:
        export_onnx(checkpoint, folder / form, form=form, precisions=(EXTRA[form],))
    return {form: folder / form for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
def test_every_graph_equals_the_reference(bundles: dict[str, Path], form: str) -> None:
    assert {1, 5, 31, 32, 33, 127, 128, 129, 300, 1000, 2000} <= set(LENGTHS)
    manifest = Bundle(bundles[form]).manifest
    assert manifest.form == form
    assert manifest.chunk_size == {"recurrent": 32, "parallel": None}[form]
    assert manifest.max_tokens_tested == 2000
    assert set(manifest.graphs) == {"model.onnx", f"model.{EXTRA[form]}.onnx"}
    assert manifest.parity["model.onnx"]["max_abs"] <= 1e-5
    assert manifest.parity["model.onnx"]["cosine"] >= 0.9999999


@pytest.mark.parametrize("form", FORMS)
def test_a_text_is_embedded_as_if_alone(bundles: dict[str, Path], form: str) -> None:
    generator = np.random.default_rng(0)
    texts = [generator.integers(5, tiny.VOCAB, n) for n in (70, 1, 33, 200, 32)]
    with load_engine(bundles[form]) as engine:
        alone = np.concatenate([engine.embed_ids(ids[None]) for ids in texts])
        ids = np.zeros((len(texts), 230), dtype=np.int64)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = text
        mask = (np.arange(230) < np.array([[len(text)] for text in texts])).astype(np.int64)
        together = engine.embed_ids(ids, mask)
    assert np.abs(alone - together).max() <= 2e-6


def test_one_node_a_layer_with_a_loop_in_its_function(bundles: dict[str, Path]) -> None:
    for graph in ("model.onnx", "model.fp16.onnx"):
        model = onnx.load(bundles["recurrent"] / graph)
        nodes = [node for node in model.graph.node if node.domain == OP_DOMAIN]
        assert [node.op_type for node in nodes] == ["DualStateDeltaRule_c32"] * tiny.LAYERS
        assert not any(node.attribute for node in nodes), "there is no plugin for TensorRT to choose"
        (function,) = model.functions
        assert sum(node.op_type in ("Loop", "Scan") for node in function.node) == 1
        assert not any(node.metadata_props for node in function.node)


def test_the_parallel_graph_has_standard_operators_alone_and_no_loop(bundles: dict[str, Path]) -> None:
    model = onnx.load(bundles["parallel"] / "model.onnx")
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert not {node.op_type for node in model.graph.node} & {"If", "Loop", "Scan"}


@pytest.mark.parametrize("layout", ["per-head", "shared"])
def test_the_options_of_the_config_reach_the_graph(folders: dict[str, Path], layout: str) -> None:
    checkpoint = load_checkpoint(folders[layout])
    config = dataclasses.replace(checkpoint.config, **OPTIONS)
    encoder = Encoder(dataclasses.replace(checkpoint, config=config), "recurrent", 16)
    model = onnx_from_encoder(encoder)
    ids = torch.randint(5, tiny.VOCAB, (3, 100), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(100) < torch.tensor([[100], [1], [33]])).long()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    with torch.inference_mode():
        expected = encoder.double()(ids, mask)[0].numpy()
    assert np.abs(found - expected).max() <= 2e-6


def test_parts_that_may_stay_in_float32(folders: dict[str, Path]) -> None:
    checkpoint = load_checkpoint(folders["per-head"])
    assert "layers.0.form" in half_parts(Encoder(checkpoint, "recurrent"))
    assert "layers.0.form" not in half_parts(Encoder(checkpoint, "parallel"))


def test_the_command(folders: dict[str, Path], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    result = lam_export("onnx", folders["shared"], "-o", bundle, "--form", "recurrent", "--chunk-size", "16")
    assert result.returncode == 0, result.stderr
    assert (Bundle(bundle).manifest.form, Bundle(bundle).manifest.chunk_size) == ("recurrent", 16)


def test_what_the_command_refuses(folders: dict[str, Path], bundles: dict[str, Path], tmp_path: Path) -> None:
    said = refusal("onnx", folders["shared"], "-o", tmp_path / "b", "--form", "parallel", "--chunk-size", "32")
    assert "expected no chunk size with the form parallel" in said
    assert "flat, recurrent or parallel" in refusal("onnx", folders["shared"], "-o", tmp_path / "b", "--form", "round")


def test_the_report_looks_into_the_operator(folders: dict[str, Path], bundles: dict[str, Path]) -> None:
    encoder = Encoder(load_checkpoint(folders["per-head"]), "recurrent")
    ids = np.random.default_rng(0).integers(5, tiny.VOCAB, (2, 70))
    mask = (np.arange(70) < np.array([[70], [33]])).astype(np.int64)
    batch = {"input_ids": ids, "attention_mask": mask}
    errors = part_errors((bundles["recurrent"] / "model.onnx").read_bytes(), encoder, [batch], "fp32")
    assert {"layers.1.form.convolved", "layers.1.form.mixed", "layers.1.form"} <= {error.part for error in errors}
    assert not any(error.suspect for error in errors)
