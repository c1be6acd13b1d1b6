"""The folder for other people's tools. What the tools make of it is in tests/tools."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tokenizers
from commands import MAIN, lam_export, lam_export_process, refusal

from lam_engines import LamError, load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.tokenizer import tokenizer_of
from lam_export.evidence.cases import parity_cases
from lam_export.export.huggingface import graph
from lam_export.pipelines.export_huggingface import export_huggingface
from lam_export.pipelines.export_onnx import export_onnx

FILES = {
    *("README.md", "config.json", "tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json"),
    *("config_sentence_transformers.json", "onnx/model.onnx"),
}


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_huggingface(tiny_bundle, tmp_path_factory.mktemp("hub") / "folder").path


def test_the_files(folder: Path, tiny_bundle: Path) -> None:
    assert files_of(folder) == FILES
    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert (config["model_type"], config["max_position_embeddings"]) == ("bert", 1_000_000)
    assert (tokenizer["model_max_length"], tokenizer["pad_token"]) == (1_000_000, "[PAD]")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (tiny_bundle / name).read_bytes()


def test_what_text_embeddings_inference_demands(folder: Path) -> None:
    """As the source of 1.9.3 reads a local folder (router/src/lib.rs, backends/ort/src/lib.rs). It was not run."""
    config = json.loads((folder / "config.json").read_text())
    assert isinstance(config["model_type"], str)
    assert not any(name.endswith("Classification") for name in config["architectures"])
    for size in ("max_position_embeddings", "hidden_size", "num_hidden_layers", "pad_token_id"):
        assert type(config[size]) is int
        assert config[size] >= 0
    for mapping in ("id2label", "label2id", "auto_map"):
        assert mapping not in config, "they may be left out, but not be of another type"
    pooling = json.loads((folder / "1_Pooling/config.json").read_text())
    assert pooling["pooling_mode_cls_token"] is False
    assert pooling["pooling_mode_mean_tokens"] is True
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"):
        assert not (folder / f"sentence_{name}_config.json").exists(), "one without max_seq_length is refused"
    assert json.loads((folder / "config_sentence_transformers.json").read_text()).get("prompts") is None
    assert json.loads((folder / "tokenizer_config.json").read_text())["padding_side"] in ("left", "right")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.truncation is None
    assert not (folder / "model.onnx").exists(), "it would be taken before onnx/model.onnx"
    model = onnx.load(folder / "onnx/model.onnx")
    assert model.ir_version <= 10, "its ONNX Runtime is 1.22"
    assert {value.name for value in model.graph.input} == {"input_ids", "attention_mask"}
    assert {value.name for value in model.graph.output} >= {"sentence_embedding"}, "else it would pool itself"
    assert {str(path) for path in folder.rglob("*.onnx_data")} == set()


def test_the_outputs_equal_the_engine(folder: Path, tiny_bundle: Path) -> None:
    session = onnxruntime.InferenceSession(folder / "onnx/model.onnx", providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert [value.name for value in session.get_outputs()] == ["sentence_embedding", "last_hidden_state"]
    with load_engine(tiny_bundle) as engine:
        for case in parity_cases(tokenizer_of(Bundle(tiny_bundle)), 0):
            sentence, hidden = session.run(None, dict(case.feed))
            expected = engine.embed_ids(case.input_ids, case.attention_mask)
            assert np.abs(sentence - expected).max() <= 1e-6
            mean = (hidden * case.attention_mask[..., None]).sum(axis=1)
            assert np.abs(mean / np.linalg.norm(mean, axis=1, keepdims=True) - expected).max() <= 1e-6


@pytest.mark.heavy
@pytest.mark.parametrize(
    "options",
    [
        {"form": "recurrent"},
        {"form": "parallel"},
        {"token_embeddings": True, "precisions": ["int8"]},
        {"opset": 18},
    ],
    ids=str,
)
def test_any_bundle(options: dict[str, object], tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    int8 = "precisions" in options
    bundle = export_onnx(tiny_checkpoint_folder, tmp_path / "bundle", **options).bundle
    found = export_huggingface(bundle, tmp_path / "folder", int8=int8)
    assert found.parity["onnx/model.onnx"].max_abs <= 1e-6
    assert files_of(found.path) == FILES | ({"onnx/model_quantized.onnx"} if int8 else set())


@pytest.mark.needs("openvino")
def test_openvino(tiny_bundle: Path, tmp_path: Path) -> None:
    found = export_huggingface(tiny_bundle, tmp_path / "folder", openvino=True)
    assert found.parity["openvino/openvino_model.xml"].max_abs <= 1e-5
    assert files_of(found.path) == FILES | {"openvino/openvino_model.xml", "openvino/openvino_model.bin"}
    assert "INFERENCE_PRECISION_HINT" in (found.path / "README.md").read_text()


def test_the_command_needs_no_torch(tiny_bundle: Path, tmp_path: Path) -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'polygraphy', 'onnx_ir', 'onnxscript']))\n" + MAIN
    result = lam_export_process("huggingface", tiny_bundle, "-o", tmp_path / "folder", code=blocked)
    assert result.returncode == 0, result.stderr
    assert "onnx/model.onnx equals the bundle" in result.stdout
    assert f"hf upload NAME/folder {tmp_path / 'folder'}" in result.stdout


def test_a_graph_that_differs_is_not_written(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(model: onnx.ModelProto, layers: int, hidden_size: int) -> onnx.ModelProto:
        changed = right(model, layers, hidden_size)
        changed.graph.node[-1].input[0] = f"layers.{layers - 2}.ffn_norm"  # the last layer is left out
        return changed

    right = graph.with_last_hidden_state
    monkeypatch.setattr(graph, "with_last_hidden_state", damaged)
    with pytest.raises(LamError, match=r"onnx/model\.onnx does not match the bundle and was not written"):
        export_huggingface(tiny_bundle, tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_refusals(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    said = refusal("huggingface", tiny_bundle, "-o", tmp_path / "folder", "--int8")
    assert f"expected model.int8.onnx in the bundle {tiny_bundle}, found none" in said
    assert "--precision int8 --force" in said
    assert "--force" in refusal("huggingface", tiny_bundle, "-o", folder)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "config.json").write_text("{}")
    assert "is not replaced" in refusal("huggingface", tiny_bundle, "-o", theirs, "--force")
    mine = shutil.copytree(folder, tmp_path / "mine")
    assert lam_export("huggingface", tiny_bundle, "-o", mine, "--force").returncode == 0


def test_foreign_graphs_are_refused(tiny_bundle: Path) -> None:
    model = onnx.load(tiny_bundle / "model.onnx")
    with pytest.raises(LamError, match="make the bundle again"):
        graph.with_last_hidden_state(model, 99, 32)
