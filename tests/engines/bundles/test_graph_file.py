"""A graph that leads out of its file, or is a bomb, is refused by everything that reads graphs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundles import refusal, replace
from onnx import TensorProto, helper, numpy_helper

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.graph_file import MOST_FIELDS, check_graph
from lam_engines.contract import INLINED_MODEL, MEMORY_MODEL, MODEL
from lam_engines.memories.engine import MemoryEngine


def moved_out(model: onnx.ModelProto, tensor: TensorProto, folder: Path) -> bytes:
    """The model with one tensor's values in the file ``weights.bin``, which ONNX Runtime finds in the folder."""
    values = numpy_helper.to_array(tensor)
    (folder / "weights.bin").write_bytes(values.tobytes())
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "weights.bin", "offset": "0", "length": str(values.nbytes)}.items():
        tensor.external_data.add(key=key, value=value)
    return model.SerializeToString()


def large(model: onnx.ModelProto) -> TensorProto:
    return max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))


@pytest.mark.parametrize(("engine", "name"), [("onnxruntime", MODEL), ("openvino", INLINED_MODEL)])
def test_no_engine_reads_a_weight_from_the_current_directory(
    engine: str, name: str, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    model = onnx.load_from_string((bundle / name).read_bytes())
    replace(bundle, name, moved_out(model, large(model), tmp_path))
    monkeypatch.chdir(tmp_path)
    message = refusal(lambda: load_engine(bundle, engine))
    assert f"{name} has a weight in another file, which no hash covers, and is not read; make the bundle" in message


def test_neither_does_a_memory(tiny_memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Path(shutil.copytree(tiny_memory, tmp_path / "memory"))
    model = onnx.load_from_string((bundle / MEMORY_MODEL).read_bytes())
    replace(bundle, MEMORY_MODEL, moved_out(model, large(model), tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "has a weight in another file" in refusal(lambda: MemoryEngine(bundle))


def tensor() -> TensorProto:
    found = numpy_helper.from_array(np.zeros(3, dtype=np.float32), "w")
    found.data_location = TensorProto.EXTERNAL
    found.external_data.add(key="location", value="/etc/passwd")
    return found


def in_graph(**fields: list[object]) -> onnx.ModelProto:
    return onnx.ModelProto(ir_version=10, graph=onnx.GraphProto(name="g", **fields))


def in_node(attribute: onnx.AttributeProto) -> onnx.ModelProto:
    return in_graph(node=[onnx.NodeProto(op_type="Constant", attribute=[attribute])])


SPARSE = onnx.SparseTensorProto(values=tensor(), indices=numpy_helper.from_array(np.zeros(3, np.int64)), dims=[9])
GRAPH = onnx.GraphProto(name="g", initializer=[tensor()])
NODE = onnx.NodeProto(op_type="Constant", attribute=[helper.make_attribute("value", tensor())])
PLACES: dict[str, Callable[[], onnx.ModelProto]] = {
    "a constant": lambda: in_node(helper.make_attribute("value", tensor())),
    "a list of tensors": lambda: in_node(helper.make_attribute("values", [tensor()])),
    "a branch": lambda: in_node(helper.make_attribute("then_branch", GRAPH)),
    "a sparse weight": lambda: in_graph(sparse_initializer=[SPARSE]),
    "a sparse constant": lambda: in_node(helper.make_attribute("sparse_value", SPARSE)),
    "a local function": lambda: onnx.ModelProto(functions=[onnx.FunctionProto(name="f", node=[NODE])]),
    "a default of a local function": lambda: onnx.ModelProto(
        functions=[onnx.FunctionProto(name="f", attribute_proto=NODE.attribute)]
    ),
    "a training graph": lambda: onnx.ModelProto(training_info=[onnx.TrainingInfoProto(algorithm=GRAPH)]),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_that_a_weight_can_have(place: str) -> None:
    content = PLACES[place]().SerializeToString()
    assert "has a weight in another file" in refusal(lambda: check_graph(content, "model.onnx"))
    only_marked = onnx.load_from_string(content)
    assert "external_data" in str(only_marked)


def test_either_mark_of_a_weight_elsewhere_is_enough() -> None:
    for field in ("data_location", "external_data"):
        weight = tensor()
        weight.ClearField(field)
        content = in_graph(initializer=[weight]).SerializeToString()
        assert "has a weight in another file" in refusal(lambda content=content: check_graph(content, "model.onnx"))
    inside = numpy_helper.from_array(np.zeros(3, dtype=np.float32), "w")
    inside.data_location = TensorProto.DEFAULT
    check_graph(in_graph(initializer=[inside]).SerializeToString(), "model.onnx")


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):  # a graph in an attribute in a node
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            content = tag + varint(len(content)) + content
    return b"\x3a" + varint(len(content)) + content


def varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x12\x05grap", "is no ONNX file"),
        (b"\x12\xff", "is no ONNX file"),
        (b"\x12" + b"\xff" * 20, "is no ONNX file"),
        (b"\x0b\x0c", "is no ONNX file"),  # a group
        (b"\x61" + b"\0" * 7, "is no ONNX file"),
        (b"\x18\0\0\0ORTM" + b"\0" * 100, "is in the format of ONNX Runtime"),
        (b"\x3a" + varint(2 * MOST_FIELDS + 2) + b"\x0a\0" * (MOST_FIELDS + 1), "has more than 1,000,000 fields"),
        (nested(100), "has more than 1,000,000 fields, or 100 in one another"),
    ],
    ids=range(8),
)
def test_bombs_and_what_is_no_onnx_file(content: bytes, reason: str) -> None:
    assert reason in refusal(lambda: check_graph(content, "model.onnx"))


def test_a_deep_graph_that_may_be_right() -> None:
    check_graph(nested(32), "model.onnx")


def test_a_huge_file_is_not_read(tiny_bundle: Path, tmp_path: Path) -> None:
    """Sizes are compared first. This file has no content, and is larger than any memory."""
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    opened = Bundle(bundle)
    for name in (MODEL, "manifest.json", "SHA256SUMS"):
        with (bundle / name).open("r+b") as file:
            file.truncate(1 << 42)
    assert f"bytes, found {1 << 42})" in refusal(lambda: opened.read(MODEL))
    assert f"expected at most 16777216 bytes in {bundle}/SHA256SUMS, found {1 << 42}" in refusal(lambda: Bundle(bundle))
