"""The repository of a memory: everything in it follows from the bundle and the options."""

import json
from pathlib import Path

import pytest
import tiny
from commands import lam_export, refusal
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup

from lam_engines import BundleError, InputError
from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import Graph
from lam_engines.contract import MEMORY_MODEL
from lam_engines.serving.triton import MemoryServing, write_memory_repository

TYPES = {"float32": "TYPE_FP32", "bool": "TYPE_BOOL"}


def config_of(repository: Path) -> ModelConfig:
    return text_format.Parse((repository / "lam_memory" / "config.pbtxt").read_text(), ModelConfig())


@pytest.fixture(scope="module")
def graph(tiny_memory: Path) -> Graph:
    return Bundle(tiny_memory, kind="memory").manifest.graphs[MEMORY_MODEL]


def tensors(specs: object) -> dict[str, tuple[str, list[int]]]:
    """Name to Triton's type and dims, of the graph's tensors."""
    return {
        spec.name: (TYPES[spec.dtype], [size if isinstance(size, int) else -1 for size in spec.shape[1:]])
        for spec in specs
    }


def served(fields: object) -> dict[str, tuple[str, list[int]]]:
    """The same, of a configuration's."""
    return {field.name: (DataType.Name(field.data_type), list(field.dims)) for field in fields}


def test_implicit_states(tiny_memory: Path, tmp_path: Path, graph: Graph) -> None:
    """Each of the graph's tensors is a request's or a state's, in its own type and shape, and states begin at zero."""
    options = MemoryServing(flavour="onnxruntime", device="cuda", max_batch=8, max_memories=20, idle_timeout=1.5)
    config = config_of(write_memory_repository(tiny_memory, tmp_path / "models", options))
    assert (config.backend, config.default_model_filename, config.max_batch_size) == ("onnxruntime", MEMORY_MODEL, 8)
    assert config.instance_group[0].kind == ModelInstanceGroup.KIND_GPU
    batching = config.sequence_batching
    assert batching.max_sequence_idle_microseconds == 1_500_000
    assert batching.oldest.max_candidate_sequences == 20
    assert not batching.control_input
    states = {kind: {} for kind in ("input", "output")}
    for state in batching.state:
        form = DataType.Name(state.data_type), list(state.dims)
        states["input"][state.input_name] = states["output"][state.output_name] = form
        (initial,) = state.initial_state
        assert (DataType.Name(initial.data_type), list(initial.dims), initial.zero_data) == (*form, True)
    assert served(config.input) | states["input"] == tensors(graph.inputs)
    assert served(config.output) | states["output"] == tensors(graph.outputs)
    assert not set(served(config.input)) & set(states["input"])
    pairs = {state.input_name: state.output_name for state in batching.state}
    assert pairs == {f"past_{name}": f"present_{name}" for name in ("fast", "slow", "psi")}
    # The server pairs states by their place among the sorted names.
    assert [pairs[name] for name in sorted(pairs)] == sorted(pairs.values())
    assert len({state.initial_state[0].name for state in batching.state}) == 3
    assert (tmp_path / "models" / "lam_memory" / "1" / MEMORY_MODEL).read_bytes() == (
        tiny_memory / MEMORY_MODEL
    ).read_bytes()


def test_the_flavour_python(tiny_memory: Path, tmp_path: Path) -> None:
    repository = write_memory_repository(tiny_memory, tmp_path / "models", MemoryServing(threads=2))
    config = config_of(repository)
    assert config.backend == "python"
    assert config.HasField("sequence_batching")
    assert not config.sequence_batching.state, "the Python backend hands none to a model"
    assert {name: value.string_value for name, value in config.parameters.items()} == {
        "heads": str(tiny.HEADS),
        "head_size": str(tiny.HEAD_SIZE),
        "idle_timeout": "600.0",
        "threads": "2",
    }
    modules = [path.read_text() for path in repository.rglob("*.py")]
    assert not any("pydantic" in module for module in modules), "a server's environment has numpy and ONNX Runtime"
    assert json.loads((repository / "repository.json").read_text())["options"]["flavour"] == "python"


def test_a_place_that_is_taken(tiny_memory: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    write_memory_repository(tiny_memory, tmp_path / "models")
    with pytest.raises(BundleError, match=r"there is a repository .* already; replace it with --force"):
        write_memory_repository(tiny_memory, tmp_path / "models")
    write_memory_repository(tiny_memory, tmp_path / "models", MemoryServing(instances=3), force=True)
    assert config_of(tmp_path / "models").instance_group[0].count == 3
    with pytest.raises(BundleError, match=r"expected the bundle of a memory at .*, found that of an encoder"):
        write_memory_repository(tiny_bundle, tmp_path / "other")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flavour": "tensorrt"}, "expected flavour python or onnxruntime for a memory, found 'tensorrt'"),
        ({"device": "cuda"}, "expected device cpu with the flavour python, found 'cuda'"),
        ({"flavour": "onnxruntime", "device": "tpu"}, "found 'tpu'"),
        ({"max_memories": 0}, "expected max_memories of at least 1, found 0"),
        ({"idle_timeout": 0}, "expected idle_timeout of 0 to"),
        ({"idle_timeout": float("nan")}, "found nan"),
        ({"idle_timeout": float("inf")}, "found inf"),
    ],
)
def test_options_that_make_no_sense(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MemoryServing(**given)


def test_the_command(tiny_memory: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    command = ("triton", tiny_memory, "-o", tmp_path / "models")
    result = lam_export(*command, "--idle-timeout", "60", "--max-memories", "7", "--flavour", "onnxruntime")
    assert result.returncode == 0, result.stderr
    assert "lam_memory keeps a memory for each sequence, until 60 s pass without a request" in result.stdout
    batching = config_of(tmp_path / "models").sequence_batching
    assert batching.max_sequence_idle_microseconds == 60_000_000
    assert batching.oldest.max_candidate_sequences == 7
    line = refusal("triton", tiny_memory, "-o", tmp_path / "more", "--max-tokens", "99", "--cache")
    assert "--max-tokens, --cache do not apply to the bundle of a memory; remove them" in line
    line = refusal("triton", tiny_bundle, "-o", tmp_path / "more", "--idle-timeout", "9")
    assert "--idle-timeout does not apply to the bundle of an encoder; remove it" in line
    assert not (tmp_path / "more").exists()
