"""Checks exported models, writes their files, and describes them for the manifest."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import cast

import onnx
import onnx.inliner

from lam_engines.bundles.manifest import Graph, TensorSpec
from lam_engines.contract import GRAPHS, INLINED_MODEL, Precision
from lam_engines.errors import LamError
from lam_plugins.fused_delta_rule import OP_DOMAIN


class ExportError(LamError):
    """An export is not valid, or does not match the reference."""


def write_graphs(models: Mapping[str, onnx.ModelProto], folder: Path, *, layers: int) -> dict[str, Graph]:
    """Check models and write them.

    Args:
        models: the models by their file names. All but ``model.inlined.onnx`` have local functions.
        folder: an existing folder.
        layers: the number of fused nodes that each model must have.

    Returns:
        The manifest's entry of each file.

    Raises:
        ExportError: a model is not valid ONNX, or lacks a fused node per layer with its function.
    """
    for name, model in models.items():
        if name != INLINED_MODEL:
            check_fused_nodes(model, layers)
        _check_valid(model, name)
        onnx.save(model, folder / name)
    return {name: _describe(model, name) for name, model in models.items()}


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model without local functions, for runtimes that support none, such as OpenVINO.

    A node of a function is named after the node that calls it: ``layers.3.form.n7``. TensorRT wants every name once.
    """
    return onnx.inliner.inline_local_functions(with_named_functions(model))


def with_named_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which each call of a local function has its own function, with values named after the call.

    For example, the value ``mixed`` in the function of node ``layers.3.form`` becomes ``layers.3.form.mixed``. A
    runtime that inlines the function may add a prefix and a suffix, but the name stays recognisable. The function's
    inputs keep their names.
    """
    copy = deepcopy(model)
    functions = {function.name: function for function in model.functions}
    del copy.functions[:]
    for node in copy.graph.node:
        if function := functions.get(node.op_type):
            own = copy.functions.add()
            own.CopyFrom(function)
            own.name = node.op_type = f"{function.name}_{len(copy.functions)}"
            prefix = f"{node.output[0]}."
            for inner in own.node:
                inner.name = prefix + inner.name
                inner.input[:] = [x if not x or x in function.input else prefix + x for x in inner.input]
                inner.output[:] = [x and prefix + x for x in inner.output]
            own.output[:] = [x if x in function.input else prefix + x for x in own.output]
    return copy


def check_fused_nodes(model: onnx.ModelProto, layers: int) -> None:
    """See that a model has one fused node per layer, and the function that defines it.

    Raises:
        ExportError: it has not. The message says what was found.
    """
    nodes = [node.op_type for node in model.graph.node if node.domain == OP_DOMAIN]
    functions = {function.name for function in model.functions if function.domain == OP_DOMAIN}
    if len(nodes) != layers or set(nodes) != functions:
        raise ExportError(
            f"expected {layers} nodes of one operator of {OP_DOMAIN} and its function, found nodes {nodes} and "
            f"functions {sorted(functions)}; this is a fault of lam-export with these versions of torch and onnxscript"
        )


def _check_valid(model: onnx.ModelProto, name: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{name} is not valid ONNX ({str(error).splitlines()[0]}); try another --opset") from error


def _describe(model: onnx.ModelProto, name: str) -> Graph:
    precision = next((precision for precision, graph in GRAPHS.items() if graph == name), "fp32")
    opset = next(o.version for o in model.opset_import if o.domain == "")
    return Graph(
        precision=cast(Precision, precision),
        opset=opset,
        inlined=name == INLINED_MODEL,
        inputs=tuple(_tensor_spec(value) for value in model.graph.input),
        outputs=tuple(_tensor_spec(value) for value in model.graph.output),
    )


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)
