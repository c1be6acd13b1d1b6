"""The repository that is written: everything in it follows from the bundle and the options."""

import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from plan_bundle import with_plan
from tritonclient.grpc.model_config_pb2 import ModelConfig

from lam_engines import BundleError, InputError, LamError
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.openvino import operators
from lam_engines.runtimes.openvino.library import check_bf16
from lam_engines.serving.triton import ServingOptions, flavours, write_repository

PROFILES = [(1, 1, 64, 1, 16, 64), (1, 1, 32, 1, 128, 512), (2, 2, 4, 1, 1024, 4096)]


def configs(repository: Path) -> dict[str, ModelConfig]:
    return {
        path.parent.name: text_format.Parse(path.read_text(), ModelConfig())
        for path in repository.glob("*/config.pbtxt")
    }


def parameters(config: ModelConfig) -> dict[str, str]:
    return {name: value.string_value for name, value in config.parameters.items()}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_flavour_python(tmp_path: Path, tiny_bundle: Path) -> None:
    repository = write_repository(tiny_bundle, tmp_path / "models")
    found = configs(repository)
    bundle = Bundle(tiny_bundle)
    model = bundle.manifest.model
    assert set(found) == {"lam_tokenizer", "lam_core", "lam_embed"}
    assert found["lam_core"].input[0].allow_ragged_batch
    assert list(found["lam_core"].output[0].dims) == list(found["lam_embed"].output[0].dims) == [model.hidden_size]
    assert "network" not in parameters(found["lam_core"])  # it computes itself
    assert parameters(found["lam_core"])["vocab_size"] == str(model.vocab_size)
    assert parameters(found["lam_tokenizer"]) == {
        "vocab_size": str(model.vocab_size),
        "max_tokens": "8192",
        "max_bytes": "524288",
        "truncation": "refuse",
    }
    assert (repository / "lam_core" / "1" / "model.onnx").read_bytes() == bundle.read("model.onnx")
    assert (repository / "lam_tokenizer" / "1" / "tokenizer.json").read_bytes() == bundle.read("tokenizer.json")


def test_the_options(tmp_path: Path, tiny_bundle: Path) -> None:
    options = ServingOptions(
        max_tokens=300,
        truncation="truncate",
        max_batch=16,
        batch_tokens=2048,
        instances=2,
        threads=3,
        queue_size=7,
        queue_timeout=1.5,
        queue_delay=0.002,
        cache=True,
    )
    repository = write_repository(tiny_bundle, tmp_path / "models", options)
    found = configs(repository)
    assert {config.max_batch_size for config in found.values()} == {16}
    core = found["lam_core"]
    assert core.instance_group[0].count == 1  # one process, with one text pool
    assert core.parameters["workers"].string_value == "3"
    assert parameters(core)["threads"] == "3"
    assert parameters(core)["batch_tokens"] == "2048"
    policy = core.dynamic_batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds, policy.timeout_action) == (7, 1_500_000, 0)
    assert core.dynamic_batching.max_queue_delay_microseconds == 2000
    assert parameters(found["lam_tokenizer"])["truncation"] == "truncate"
    assert found["lam_embed"].response_cache.enable
    record = json.loads((repository / "repository.json").read_text())
    assert record["options"]["max_tokens"] == 300
    assert record["options"]["precision"] == "fp32"


def test_the_flavour_onnxruntime(tmp_path: Path, tiny_bundle: Path) -> None:
    options = ServingOptions(flavour="onnxruntime", device="cuda", instances=2)
    found = configs(write_repository(tiny_bundle, tmp_path / "models", options))
    network = found["lam_model"]
    assert network.backend == "onnxruntime"
    assert (network.instance_group[0].kind, network.instance_group[0].count) == (1, 2)  # KIND_GPU
    graph = Bundle(tiny_bundle).manifest.graphs["model.onnx"]
    assert [tensor.name for tensor in network.input] == [spec.name for spec in graph.inputs]
    assert parameters(found["lam_core"])["network"] == "lam_model"
    assert parameters(found["lam_core"])["batch_tokens"] == "16384"
    assert not (tmp_path / "models" / "lam_core" / "1" / "model.onnx").exists()


def test_the_flavour_tensorrt(tmp_path: Path, tiny_bundle: Path) -> None:
    bundle = with_plan(tiny_bundle, tmp_path / "bundle", PROFILES)
    repository = write_repository(bundle, tmp_path / "models", ServingOptions(flavour="tensorrt"))
    found = configs(repository)
    network = found["lam_model"]
    assert network.platform == "tensorrt_plan"
    assert network.max_batch_size == 64
    assert list(network.instance_group[0].profile) == ["0", "1", "2"]
    assert network.optimization.cuda.graphs
    specs = [(s.batch_size, *s.input["input_ids"].dim) for s in network.optimization.cuda.graph_spec]
    assert (1, 16) in specs
    assert (8, 256) in specs
    assert parameters(found["lam_tokenizer"])["max_tokens"] == "4096"  # the plan's longest
    assert json.loads(parameters(found["lam_core"])["profiles"])[2]["tokens"] == {"min": 1, "opt": 1024, "max": 4096}
    assert [(w.batch_size, *w.inputs["input_ids"].dims) for w in network.model_warmup] == [(1, 16), (1, 128), (2, 1024)]
    assert (repository / "lam_model" / "1" / "model.plan").read_bytes() == bundle.read("engines/plan.plan")


def test_what_the_models_import_travels_with_them(tmp_path: Path, tiny_bundle: Path) -> None:
    repository = write_repository(tiny_bundle, tmp_path / "models")
    code = """
import sys, types, importlib
sys.path.append(sys.argv[1])
for name in ("tritonclient", "lam_engines", "pydantic"):
    sys.modules[name] = None
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
print(importlib.import_module("1.model").TritonPythonModel.__module__)
"""
    for model in ("lam_tokenizer", "lam_core"):
        command = [sys.executable, "-I", "-c", code, str(repository / model)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert result.stdout.strip() == f"1.lam_engines.serving.triton.models.{model}", result.stderr


def test_the_same_bundle_gives_the_same_repository(tmp_path: Path, tiny_bundle: Path) -> None:
    first = write_repository(tiny_bundle, tmp_path / "models")
    again = write_repository(tiny_bundle, tmp_path / "again")
    assert files(first) == files(again)


def test_an_altered_bundle_is_refused_and_nothing_is_left(tmp_path: Path, tiny_bundle: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    with (bundle / "model.onnx").open("r+b") as file:
        file.write(b"X")
    with pytest.raises(BundleError, match="is not the file that the bundle was made with"):
        write_repository(bundle, tmp_path / "models")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_is_there_is_replaced_only_if_it_is_a_repository(tmp_path: Path, tiny_bundle: Path) -> None:
    place = tmp_path / "models"
    write_repository(tiny_bundle, place)
    before = files(place)
    with pytest.raises(BundleError, match=r"there is a repository .* already; replace it with --force"):
        write_repository(tiny_bundle, place)
    write_repository(tiny_bundle, place, ServingOptions(max_tokens=64), force=True)
    assert files(place) != before
    (place / "repository.json").unlink()
    with pytest.raises(BundleError, match="exists and is no repository of lam-export"):
        write_repository(tiny_bundle, place, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncation": "silently"}, "expected truncation refuse or truncate, found 'silently'"),
        ({"max_tokens": 2}, "expected max_tokens of at least 8, found 2"),
        ({"instances": 0}, "expected instances of at least 1, found 0"),
        ({"queue_timeout": -1.0}, "expected queue_timeout of at least 0 seconds, found -1.0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ServingOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flavour": "openvino"}, "expected flavour python, onnxruntime or tensorrt, found 'openvino'"),
        ({"device": "cuda"}, "expected device cpu with the flavour python, found cuda"),
        ({"device": "tpu", "flavour": "onnxruntime"}, "expected device cpu or cuda with the flavour onnxruntime"),
        ({"device": "cpu", "flavour": "tensorrt"}, "expected device cuda with the flavour tensorrt, found cpu"),
        ({"plan": "engines/a.plan"}, "expected a plan with the flavour tensorrt only"),
        ({"engine": "tensorrt"}, "expected an engine for Triton's Python models, found tensorrt"),
        ({"engine": "onnxruntime", "precision": "bf16"}, "expected precision fp32 or fp16 or int8 with the engine"),
        ({"engine": "openvino", "flavour": "onnxruntime"}, "expected an engine with the flavour python only"),
    ],
)
def test_options_that_do_not_fit_the_flavour(
    tmp_path: Path, tiny_bundle: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_repository(tiny_bundle, tmp_path / "models", ServingOptions(**options))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_lacks_what_is_asked_for(tmp_path: Path, tiny_bundle: Path) -> None:
    def refusal(bundle: Path | Bundle, **options: object) -> str:
        with pytest.raises(LamError) as caught:
            write_repository(bundle, tmp_path / "models", ServingOptions(**options))  # type: ignore[arg-type]
        return str(caught.value)

    assert "expected model.int8.onnx" in refusal(tiny_bundle, precision="int8")
    assert "expected a plan of precision fp16" in refusal(tiny_bundle, flavour="tensorrt")
    two = with_plan(tiny_bundle, tmp_path / "two", PROFILES, names=("a", "b"))
    assert "name the one to serve: --plan engines/b.plan" in refusal(two, flavour="tensorrt")
    assert "it has engines/a.plan, engines/b.plan" in refusal(two, flavour="tensorrt", plan="engines/c.plan")
    assert "--max-tokens 5000" in refusal(two, flavour="tensorrt", plan="engines/a.plan", max_tokens=5000)


@pytest.mark.parametrize(
    ("engine", "precision", "closest"), [("onnxruntime", "fp32", 1 - 1e-6), ("openvino", "bf16", 0.999)]
)
def test_what_computes_in_tritons_processes(
    tmp_path: Path, tiny_bundle: Path, tiny_engine: EmbeddingEngine, engine: str, precision: str, closest: float
) -> None:
    if precision == "bf16":
        try:
            check_bf16()
        except LamError as error:
            pytest.skip(str(error))
    options = ServingOptions(engine=engine, precision=precision)
    folder = write_repository(tiny_bundle, tmp_path / "models", options) / "lam_core"
    assert parameters(configs(folder.parent)["lam_core"])["engine"] == engine
    network = import_module(f"lam_engines.runtimes.{engine}.network").load(folder / "1", precision, None, 2)
    ids = np.array([[2, 8, 9, 3], [2, 10, 3, 0]])
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    found, expected = network.run(ids, mask), tiny_engine.embed_ids(ids, mask)
    assert (found * expected).sum(axis=1).min() > closest


def test_operators_go_along_where_their_openvino_is(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library.so"
    library.write_bytes(b"operators")
    monkeypatch.setattr(operators, "find_operators", lambda bundle: operators.Operators(library))
    core = write_repository(tiny_bundle, tmp_path / "models") / "lam_core"
    assert parameters(configs(core.parent)["lam_core"])["engine"] == "openvino", "auto takes the fastest"
    assert (core / "1" / "operators.so").read_bytes() == b"operators"
    assert (core / "1" / "model.onnx").read_bytes() == (tiny_bundle / "model.onnx").read_bytes()
    monkeypatch.setattr(flavours, "pinned_version", lambda package: "2026.2.0")
    core = write_repository(tiny_bundle, tmp_path / "others") / "lam_core"
    assert parameters(configs(core.parent)["lam_core"])["engine"] == "onnxruntime", "the operators fit no other"
    with pytest.raises(InputError, match=r"it needs openvino .*, and Triton's processes have 2026\.2\.0"):
        write_repository(tiny_bundle, tmp_path / "third", ServingOptions(engine="openvino"))
