"""The native operator in Python's OpenVINO, against the same bundle without it and ONNX Runtime."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import forge, refusal
from commands import lam_export

from lam_engines import EngineError, load_engine
from lam_engines.contract import ATTENTION_MASK, INLINED_MODEL, INPUT_IDS
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.openvino.engine import OpenVinoGraph
from lam_engines.runtimes.openvino.library import check_bf16, infer

LENGTHS = (1, 2, 3, 16, 17, 31, 63, 127, 128, 129, 255, 256, 257, 300, 513, 1000)
CLOSE = {"rtol": 0, "atol": 1e-5}
REMEDY = "build it beside this OpenVINO: scripts/build_cpp, or leave LAM_OPERATORS unset"


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Without the graph that needs no operator."""
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "a bundle"))
    forge(copy, lambda m: (m["files"].pop(INLINED_MODEL), m["graphs"].pop(INLINED_MODEL)))
    return copy


@pytest.fixture
def engine(bundle: Path, operators: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingEngine]:
    monkeypatch.setenv("LAM_OPERATORS", str(operators))
    with load_engine(bundle, "openvino") as engine:
        yield engine


@pytest.fixture
def bf16(bundle: Path, operators: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingEngine]:
    monkeypatch.setenv("LAM_OPERATORS", str(operators))
    try:
        check_bf16()
    except EngineError as error:
        pytest.skip(str(error))
    with load_engine(bundle, "openvino", precision="bf16") as engine:
        yield engine


@pytest.mark.parametrize("length", LENGTHS)
def test_in_bf16_a_text_is_the_same_alone_and_padded(
    bf16: EmbeddingEngine, tiny_engine: EmbeddingEngine, length: int
) -> None:
    ids = np.random.default_rng(3).integers(0, 128, (2, max(length, 256)))  # 512 tokens are one batch
    mask = np.ones_like(ids)
    mask[0, length:] = 0
    alone = bf16.embed_ids(ids[:1, :length])[0]
    assert alone @ bf16.embed_ids(ids, mask)[0] >= 1 - 1e-5
    assert alone @ tiny_engine.embed_ids(ids[:1, :length])[0] >= 0.9995


def test_in_bf16_nothing_is_converted_around_the_operator(bf16: EmbeddingEngine) -> None:
    nodes = OpenVinoGraph(bf16.bundle, "bf16", 1).compile().get_runtime_model().get_ordered_ops()
    operators = [node for node in nodes if node.get_rt_info()["layerType"].value == "Reference"]
    assert len(operators) == 2, "one a layer"
    for node in operators:
        read = node.input_value(0).get_node()
        users = [user.get_node() for user in node.output(0).get_target_inputs()]
        for near in (read, node, *users):
            assert near.get_rt_info()["outputPrecisions"].value == "bf16"
            assert near.get_rt_info()["layerType"].value not in ("Convert", "Reorder")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_inside_is_an_error_on_one_thread_too(engine: EmbeddingEngine, threads: int) -> None:
    """A program of one's own may feed lengths of another batch. The operator would read beyond them."""
    request = OpenVinoGraph(engine.bundle, "fp32", threads).compile().create_infer_request()
    ids = np.random.default_rng(4).integers(0, 128, (2, 16))
    batch = {INPUT_IDS: ids, ATTENTION_MASK: np.ones_like(ids)}
    before = infer(request, batch)
    with pytest.raises(RuntimeError, match=r"expected shapes that agree|it computed nothing"):
        infer(request, batch | {ATTENTION_MASK: np.ones((1, 16), np.int64)})
    np.testing.assert_array_equal(infer(request, batch), before)


def test_threads_that_share_an_engine(engine: EmbeddingEngine, tiny_engine: EmbeddingEngine) -> None:
    batches = [np.random.default_rng(n).integers(0, 128, (1 + n % 3, n)) for n in (1, 31, 127, 129, 300, 2000) * 4]
    with ThreadPoolExecutor(8) as pool:
        for ids, found in zip(batches, pool.map(engine.embed_ids, batches), strict=True):
            np.testing.assert_allclose(found, tiny_engine.embed_ids(ids), **CLOSE)


def test_a_hundred_thousand_tokens(engine: EmbeddingEngine, tiny_engine: EmbeddingEngine) -> None:
    ids = np.random.default_rng(2).integers(0, 128, (1, 100_000))
    np.testing.assert_allclose(engine.embed_ids(ids), tiny_engine.embed_ids(ids), **CLOSE)


def test_profile_shows_the_operator(bundle: Path, operators: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAM_OPERATORS", str(operators))
    shape = ("--shape", "1x200", "--seconds", "0.2", "--threads", "1")
    result = lam_export("profile", bundle, "--engine", "openvino", *shape)
    assert result.returncode == 0, result.stderr
    assert "OpenVINO fp32, native operator, 1 x 200 tokens" in result.stdout
    assert re.search(r"^operator +2 Reference 100 %", result.stdout, flags=re.MULTILINE), "one node a layer"
    assert not re.search(r"^(rule|convolutions) ", result.stdout, flags=re.MULTILINE)


@pytest.mark.parametrize("fields", [{"form": "recurrent"}, {"chunk_size": 64}, {"chunk_size": None}])
def test_other_bundles_run_their_inlined_graph(
    bundle: Path, operators: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setenv("LAM_OPERATORS", str(operators))
    forge(bundle, lambda m: m.update(fields))
    assert f"expected {INLINED_MODEL} in the bundle" in refusal(lambda: load_engine(bundle, "openvino"))


def test_libraries_that_are_not_for_this_openvino(
    bundle: Path, operators: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(path: Path) -> str:
        monkeypatch.setenv("LAM_OPERATORS", str(path))
        with pytest.raises(EngineError) as refused:
            load_engine(bundle, "openvino")
        message = str(refused.value)
        assert message.endswith(REMEDY)
        assert message.isprintable()
        return message

    assert "found no file" in said(tmp_path / "none.so")
    (tmp_path / "text.so").write_text("text")
    assert "cannot use the LAM_OPERATORS" in said(tmp_path / "text.so")
    # Linked with an OpenVINO that is not here: the name of the library is changed in place, in as many letters.
    content = operators.read_bytes()
    assert b"libopenvino.so.2" in content
    (tmp_path / "newer.so").write_bytes(content.replace(b"libopenvino.so.2", b"libopenvino.so.9"))
    assert "libopenvino.so.9" in said(tmp_path / "newer.so")

    source = tmp_path / "older.c"
    source.write_text('const char* lam_operators_openvino_version(void) { return "2025.1.0"; }\n')
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", tmp_path / "older.so"], check=True)
    assert "found those for 2025.1.0" in said(tmp_path / "older.so")
    source.write_text("int other(void) { return 0; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", tmp_path / "other.so"], check=True)
    assert "lam_operators_openvino_version" in said(tmp_path / "other.so")
