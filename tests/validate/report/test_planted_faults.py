"""Faults that are planted in a graph fail the gate, and the part where they are is named."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bundles
import numpy as np
import onnx
import onnxruntime
import planted
import pytest

from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.contract import MODEL
from lam_export.evidence.corpus import Corpus, Text
from lam_export.evidence.metrics import row_errors
from lam_export.evidence.same_model import encoder_of
from lam_export.evidence.subjects.engines import engine_subject
from lam_export.evidence.subjects.pytorch import CheckpointFiles, pytorch_subject
from lam_export.evidence.texts import zero_unless_finite
from lam_export.model.checkpoint import load_checkpoint
from lam_export.validate.report.build import build_report
from lam_export.validate.report.parts import part_errors
from lam_export.validate.report.schema import PartError
from lam_export.validate.report.thresholds import DEFAULTS

pytestmark = pytest.mark.heavy


def several(model: onnx.ModelProto) -> None:
    planted.swapped_gates(model, 3)
    planted.no_second_gelu(model, 1)
    planted.conv_pads(model, 1, 2, layer=2)


FAULTS: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "gates of two heads swapped in layer 3": (partial(planted.swapped_gates, layer=3), "layers.3.form.in_proj"),
    "second GELU dropped": (planted.no_second_gelu, "layers.0.ffn_out"),
    "second GELU dropped in layer 1": (partial(planted.no_second_gelu, layer=1), "layers.1.ffn_out"),
    "eps 0 in the embeddings' norm": (partial(planted.layer_norm_eps_0, part="embeddings.norm"), "embeddings.norm"),
    "eps 0 in the heads' norm": (planted.rms_norm_eps_0, "layers.0.form"),
    "eps 0 in the heads' norm of layer 2": (partial(planted.rms_norm_eps_0, layer=2), "layers.2.form"),
    "A A for A A^T": (planted.true_inverse, "layers.0.form.mixed"),
    "A A for A A^T in layer 4": (partial(planted.true_inverse, layer=4), "layers.4.form.mixed"),
    "z kb^T for kb z^T": (planted.other_factor_transposed, "layers.0.form.mixed"),
    "z kb^T for kb z^T in layer 2": (partial(planted.other_factor_transposed, layer=2), "layers.2.form.mixed"),
    "convolution one token late": (partial(planted.conv_pads, before=3, after=0), "layers.0.form.convolved"),
    "convolution one token early": (partial(planted.conv_pads, before=1, after=2), "layers.0.form.convolved"),
    "convolution late in layer 3": (partial(planted.conv_pads, before=3, after=0, layer=3), "layers.3.form.convolved"),
    "one in each of layers 1, 2 and 3": (several, "layers.1.ffn_out"),
}
"""What is planted, and the part where it is; the first, if it is in several."""


def worst_cosine(model: onnx.ModelProto) -> float:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(["sentence_embedding"], dict(batch))[0] for batch in planted.batches()])
    expected = np.concatenate(planted.embeddings())
    return float(row_errors(zero_unless_finite(found), expected).cosine.min())


def errors(model: onnx.ModelProto, precision: str) -> tuple[PartError, ...]:
    return part_errors(model.SerializeToString(), planted.encoder(), planted.batches(), precision)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_sound_graph_passes(precision: str) -> None:
    assert worst_cosine(planted.graph(precision)) >= DEFAULTS[precision].cosine


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_located(fault: str, precision: str) -> None:
    plant, where = FAULTS[fault]
    model = planted.graph(precision)
    plant(model)
    onnx.checker.check_model(model)
    assert worst_cosine(model) < DEFAULTS[precision].cosine
    suspects = [part.part for part in errors(model, precision) if part.suspect]
    assert suspects[0] == where


def test_only_the_faulty_parts_are_suspects() -> None:
    model = planted.graph("fp32")
    several(model)
    suspects = [part.part for part in errors(model, "fp32") if part.suspect]
    assert suspects == ["layers.1.ffn_out", "layers.2.form.convolved", "layers.3.form.in_proj"]


def test_the_report_fails_and_names_the_part(tiny_bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint_folder)
    model = onnx.load(tiny_bundle / MODEL)
    planted.no_second_gelu(model, 1)
    faulty = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    onnx.save(model, faulty / MODEL)
    entry = file_entry(faulty / MODEL).model_dump()
    bundles.forge(faulty, lambda fields: fields["files"].update({MODEL: entry}))
    bundle = Bundle(faulty)
    words = ["the", "dog", "runs", "and", "a", "happy", "cat", "sleeps", "in", "the", "old", "house"]
    texts = tuple(Text(" ".join(words[:n]), "file", "Latin") for n in range(1, len(words)))
    report, _ = build_report(
        bundle,
        Corpus(texts=texts, pairs=(), sources=("words.txt",)),
        reference=pytorch_subject(bundle, CheckpointFiles(tiny_checkpoint_folder), dtype="float64"),
        candidates=[engine_subject(bundle)],
        limits=DEFAULTS,
        encoder=encoder_of(bundle, checkpoint),
        checkpoint_sha256=checkpoint.sha256,
    )
    (comparison,) = report.comparisons
    (cosine,) = (check for check in comparison.checks if check.name == "cosine")
    assert not report.passed
    assert not cosine.passed
    assert cosine.detail.endswith("; the error begins in layers.1.ffn_out")
