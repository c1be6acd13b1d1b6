"""The recurrent form as a stateful graph: a text in windows has the embedding of the whole text in float64."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
import torch
from commands import lam_export, refusal

from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.long_texts import Windows, recurrent_windows
from lam_export.export.stream import onnx_from_stream
from lam_export.model.checkpoint import Checkpoint, load_checkpoint
from lam_export.model.encoder import Encoder
from lam_export.model.streaming import StreamingEncoder, beginning
from lam_plugins.fused_delta_rule import OP_DOMAIN

LENGTHS = (1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300, 1000, 2000)
OPTIONS: dict[str, dict[str, object]] = {
    "published": {},
    "shared flux": {},
    "uncoupled": {"cross_coupling": False},
    "final norm at the end": {"final_norm": "end"},
    "raw readout": {"readout_norm": False},
    "surprise": {"surprise_threshold": 0.55},
}
EVERY_OPTION = pytest.mark.parametrize("name", OPTIONS)
CHUNKS = (1, 2, 10)
"""Of a window."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Checkpoint]:
    """By whether the heads share the flux."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        shared: load_checkpoint(
            tiny.write_checkpoint(folder / str(shared), tensors=tiny.lam_tensors(shared_flux=shared))
        )
        for shared in (False, True)
    }


def encoder_with(checkpoints: dict[bool, Checkpoint], name: str) -> Encoder:
    checkpoint = checkpoints[name == "shared flux"]
    config = dataclasses.replace(checkpoint.config, **OPTIONS[name])
    return Encoder(dataclasses.replace(checkpoint, config=config), "recurrent")


def text(tokens: int) -> np.ndarray:
    return np.random.default_rng(tokens).integers(5, tiny.VOCAB, tokens)


def whole(encoder: Encoder, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = torch.from_numpy(ids)[None]
    sentence, tokens = encoder(rows, torch.ones_like(rows))
    return sentence[0].numpy(), tokens[0].numpy()


def session_of(encoder: Encoder, **options: int) -> onnxruntime.InferenceSession:
    model = onnx_from_stream(encoder, **options)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def in_windows(session: onnxruntime.InferenceSession, windows: Windows, carry: list[np.ndarray]) -> np.ndarray:
    """The embedding ``[hidden]`` of a text that comes in windows."""
    total = np.zeros(tiny.HIDDEN)
    for part, window in windows:
        feed = {"input_ids": part[None], "window": window, "past_contexts": carry[0], "past_states": carry[1]}
        own, *carry = session.run(["sum", "present_contexts", "present_states"], feed)
        total += own[0]
    return total / np.linalg.norm(total)


@EVERY_OPTION
def test_windows_of_the_reference_sum_to_the_whole(checkpoints: dict[bool, Checkpoint], name: str) -> None:
    encoder = encoder_with(checkpoints, name).double()
    streaming = StreamingEncoder(encoder)
    for tokens in (1, 33, 64, 65, 300):
        ids = text(tokens)
        expected = whole(encoder, ids)[1].sum(0)
        for chunks in CHUNKS:
            total, carry = 0.0, beginning(encoder)
            for part, window in recurrent_windows([ids], tokens, 32, tiny.LAYERS, 32 * chunks):
                own, *carry = streaming(torch.from_numpy(part)[None], torch.from_numpy(window), *carry)
                total += own[0].numpy()
            np.testing.assert_allclose(total, expected, rtol=0, atol=1e-11 * tokens)


@pytest.mark.heavy
@EVERY_OPTION
def test_windows_in_onnx_give_the_embedding_of_the_whole(checkpoints: dict[bool, Checkpoint], name: str) -> None:
    encoder = encoder_with(checkpoints, name)
    session = session_of(encoder)
    carry = [array.numpy() for array in beginning(encoder)]
    encoder.double()
    for tokens in LENGTHS:
        ids = text(tokens)
        expected = whole(encoder, ids)[0]
        for chunks in CHUNKS:
            windows = recurrent_windows([ids], tokens, 32, tiny.LAYERS, 32 * chunks)
            assert np.abs(in_windows(session, windows, carry) - expected).max() <= 2e-6


def test_another_chunk_and_opset(checkpoints: dict[bool, Checkpoint]) -> None:
    encoder = Encoder(checkpoints[False], "recurrent", 1)
    session = session_of(encoder, opset=18)
    carry = [array.numpy() for array in beginning(encoder)]
    ids = text(40)
    found = in_windows(session, recurrent_windows([ids], 40, 1, tiny.LAYERS, 3), carry)
    assert np.abs(found - whole(encoder.double(), ids)[0]).max() <= 2e-6


@pytest.mark.heavy
def test_the_command(checkpoints: dict[bool, Checkpoint], tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    result = lam_export("onnx", checkpoints[True].weights.parent, "-o", path, "--form", "recurrent", "--stream")
    assert result.returncode == 0, result.stderr
    assert "model.stream.onnx, sentence_embedding, against PyTorch" in result.stdout
    manifest = Bundle(path).manifest
    graph = manifest.graphs["model.stream.onnx"]
    assert [spec.name for spec in graph.inputs] == ["input_ids", "window", "past_contexts", "past_states"]
    assert {spec.name: spec.shape for spec in graph.outputs} == {
        "sum": (1, tiny.HIDDEN),
        "present_contexts": (tiny.LAYERS, 2, 3 * tiny.HIDDEN),
        "present_states": (tiny.LAYERS, tiny.HEADS, 2, tiny.HEAD_SIZE, tiny.HEAD_SIZE),
    }
    assert manifest.parity["model.stream.onnx"]["max_abs"] <= 1e-5
    model = onnx.load(path / "model.stream.onnx")
    assert sum(node.domain == OP_DOMAIN for node in model.graph.node) == tiny.LAYERS
    assert not any(node.metadata_props for node in model.graph.node)


@pytest.mark.parametrize("form", ["flat", "parallel"])
def test_other_forms_have_no_such_graph(tmp_path: Path, form: str) -> None:
    said = refusal("onnx", tmp_path, "-o", tmp_path / "bundle", "--form", form, "--stream")
    assert f"expected stream with the form recurrent, found it with the form {form}" in said
