"""Check an exported model, write its files, and describe them for the manifest."""

from pathlib import Path

import onnx
import onnx.inliner

from lam_engines.bundle import INLINED_MODEL, MODEL
from lam_engines.errors import LamError
from lam_engines.manifest import Graph, TensorSpec
from lam_plugins.fused_delta_rule import OP_DOMAIN


class ExportError(LamError):
    """An export that is not fit to be written."""


def write_graphs(model: onnx.ModelProto, folder: Path, *, layers: int, inline: bool) -> dict[str, Graph]:
    """Write ``model.onnx`` and, if asked for, ``model.inlined.onnx``.

    Args:
        model: with local functions.
        folder: an existing folder.
        layers: how many nodes of the fused operator there must be.
        inline: also write the graph with its functions inlined, for runtimes that know none (OpenVINO).

    Returns:
        File name to its entry in the manifest.

    Raises:
        ExportError: the model is not valid ONNX, or not one fused node per layer with its function.
    """
    check_fused_nodes(model, layers)
    models = {MODEL: model}
    if inline:
        models[INLINED_MODEL] = onnx.inliner.inline_local_functions(model)
    for name, graph in models.items():
        _check_valid(graph, name)
        onnx.save(graph, folder / name)
    return {name: _describe(graph, inlined=name == INLINED_MODEL) for name, graph in models.items()}


def check_fused_nodes(model: onnx.ModelProto, layers: int) -> None:
    """Exactly one node of the fused operator per layer, each backed by a function that the model carries.

    Raises:
        ExportError: says what is there instead.
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


def _describe(model: onnx.ModelProto, *, inlined: bool) -> Graph:
    opset = next(o.version for o in model.opset_import if o.domain == "")
    return Graph(
        precision="fp32",
        opset=opset,
        inlined=inlined,
        inputs=tuple(_tensor_spec(value) for value in model.graph.input),
        outputs=tuple(_tensor_spec(value) for value in model.graph.output),
    )


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)
