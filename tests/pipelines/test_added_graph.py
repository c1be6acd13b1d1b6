"""A bundle without its mixed-precision graph is given it, or left as it was."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import tiny

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import FP16_MODEL, MODEL
from lam_engines.errors import BundleError
from lam_export.evidence.metrics import THRESHOLDS
from lam_export.export.graphs import ExportError
from lam_export.model.checkpoint import load_checkpoint
from lam_export.pipelines import added_graph
from lam_export.pipelines.added_graph import add_fp16_graph

pytestmark = pytest.mark.heavy


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_the_graph_is_there_and_in_the_manifest(bundle: Path, tiny_checkpoint_folder: Path) -> None:
    before = Bundle(bundle).manifest
    added = add_fp16_graph(Bundle(bundle), load_checkpoint(tiny_checkpoint_folder))
    manifest = added.manifest
    assert manifest.graphs[FP16_MODEL] == before.graphs[MODEL].model_copy(update={"precision": "fp16"})
    assert manifest.parity[FP16_MODEL]["cosine"] >= THRESHOLDS["fp16"].cosine
    for part in ("graphs", "files", "parity"):
        assert getattr(manifest, part) == getattr(before, part) | {FP16_MODEL: getattr(manifest, part)[FP16_MODEL]}
    assert {n.op_type for n in onnx.load_model_from_string(added.read(FP16_MODEL)).graph.node} >= {
        "FusedDeltaRule_c128"
    }
    with load_engine(bundle, precision="fp16") as half, load_engine(bundle) as full:
        (found,), (expected,) = half.embed(["the red dog"]), full.embed(["the red dog"])
    assert found @ expected >= THRESHOLDS["fp16"].cosine


def test_another_checkpoint_is_refused(bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    before = (bundle / "manifest.json").read_bytes()
    checkpoint = load_checkpoint(tiny_checkpoint_folder)
    other = replace(checkpoint, sha256="0" * 64)
    with pytest.raises(BundleError, match=r"expected the checkpoint that .* was made from, model\.safetensors, found"):
        add_fp16_graph(Bundle(bundle), other)
    teacher = tiny.write_teacher(tmp_path / "teacher") / "model.safetensors"
    with pytest.raises(BundleError, match=r"--checkpoint and --teacher"):
        add_fp16_graph(Bundle(bundle), replace(checkpoint, teacher=teacher))
    assert (bundle / "manifest.json").read_bytes() == before


def test_a_graph_that_does_not_match_is_not_added(
    bundle: Path, tiny_checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = added_graph.half_precision

    def faulty(encoder: object) -> object:
        half = copy.deepcopy(real(encoder))
        half.layers[0].activation_passes = 1
        return half

    monkeypatch.setattr(added_graph, "half_precision", faulty)
    before = sorted(bundle.rglob("*")), (bundle / "manifest.json").read_bytes()
    with pytest.raises(ExportError, match=r"was not added: max-abs .* lam-export trt --fp32"):
        add_fp16_graph(Bundle(bundle), load_checkpoint(tiny_checkpoint_folder))
    assert (sorted(bundle.rglob("*")), (bundle / "manifest.json").read_bytes()) == before
