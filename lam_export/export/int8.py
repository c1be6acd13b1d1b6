"""The int8 graph for CPUs: weights are int8, and activations are rounded to 8 bits with one scale per row.

ONNX Runtime's own dynamic quantisation uses one scale for a whole tensor. A text's embedding would then depend on the
other texts of its batch (cosine 0.98). Here each row (one token) has its own scale. All operators are standard.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.helper import make_node

from lam_engines.contract import SENTENCE_EMBEDDING

_WEIGHT = ".weight.T"
_WORDS = "embeddings.word"
_AFTER_A_NORM = ("form.in_proj", "ffn_in")
_AFTER_GELU = "ffn_out"

_TOP = 255
_SIGNED = (127, 128)
"""For values of either sign: the steps above zero, and the integer that stands for zero."""
_GELU = (223, 32)
"""The same for results of GELU, which need few steps below zero."""
_GELU_MIN = 0.17
"""The magnitude of GELU's minimum, -0.16997, rounded up."""
_PAIR_SUM = 32767 // _TOP - 1
"""Largest sum of two weights of the same sign. x86 processors without VNNI add pairs of products in 16 bits, which can
saturate. With this limit they never do. The 1 allows for the rounding of the weights."""


def int8_model(model: onnx.ModelProto, calibration: Iterable[Mapping[str, np.ndarray]]) -> onnx.ModelProto:
    """Quantise the products with weights and the table of word embeddings.

    A product ``y = x W`` becomes ``y = (q_x Q_W) * scale_W * scale_x``. ``Q_W`` is int8 with a scale for each column.
    Its values are so small that no 16-bit sum overflows, so processors with and without VNNI give the same integers.
    ``q_x`` is uint8 with a scale for each row: the row's largest magnitude, found at run time.

    After a LayerNorm, a few channels are far larger than the others and would use up all steps. There, the channels of
    ``x`` are divided by factors that even them out, and the rows of ``W`` are multiplied by the same factors
    (SmoothQuant, Xiao et al. 2022, with alpha 0.5). The embedding table is int8 with a scale for each word. Everything
    else stays float32, including the fused operator.

    The output ``token_embeddings`` is removed. The mean over tokens loses little, but some tokens, mostly punctuation,
    lose too much: their cosines fall to 0.79 on the demo model.

    Values keep their names (``layers.3.ffn_in``). The node ``layers.3.ffn_in/MatMul`` becomes
    ``layers.3.ffn_in/MatMulInteger``. The weight ``layers.3.ffn_in.weight.T`` becomes
    ``layers.3.ffn_in.weight.T.int8``, with its scale in ``layers.3.ffn_in.weight.T.scale``.

    Args:
        model: the float32 model of :func:`onnx_from_encoder`; it is not changed.
        calibration: inputs of the model, without padding. Only the ratios between channels are measured on them, so
            nothing is clipped at run time. The same inputs give the same model.
    """
    quantised = deepcopy(model)
    graph = quantised.graph
    outputs = [output for output in graph.output if output.name == SENTENCE_EMBEDDING]
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    products = {node.name: node for node in graph.node if _is_product(node, tensors)}
    norms = [node.input[0] for node in products.values() if _module(node).endswith(_AFTER_A_NORM)]
    largest = _largest_by_channel(model, norms, calibration)

    nodes: list[onnx.NodeProto] = []
    added: dict[str, np.ndarray] = {}
    gone: set[str] = set()
    for node in graph.node:
        if node.name in products:
            weight = numpy_helper.to_array(tensors[node.input[1]])
            nodes += _row_wise_product(node, weight, largest.get(node.input[0]), added)
            gone.add(node.input[1])
        elif node.op_type == "Gather" and node.input[0] == _WORDS:
            nodes += _word_embeddings(node, numpy_helper.to_array(tensors[_WORDS]), added)
            gone.add(_WORDS)
        else:
            nodes.append(node)
    kept = [tensor for tensor in graph.initializer if tensor.name not in gone]
    kept += [numpy_helper.from_array(value, name) for name, value in added.items()]
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    graph.output.extend(outputs)
    return quantised


def _is_product(node: onnx.NodeProto, tensors: Mapping[str, TensorProto]) -> bool:
    return node.op_type == "MatMul" and node.input[1] in tensors and node.input[1].endswith(_WEIGHT)


def _module(node: onnx.NodeProto) -> str:
    return str(node.input[1].removesuffix(_WEIGHT))


def _largest_by_channel(
    model: onnx.ModelProto, values: Sequence[str], calibration: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The largest magnitude in each channel, ``[hidden]``, of each named value."""
    import onnxruntime

    tapped = deepcopy(model)
    tapped.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(tapped.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: dict[str, list[np.ndarray]] = {value: [] for value in values}
    for feed in calibration:
        for value, x in zip(values, session.run(list(values), dict(feed)), strict=True):
            found[value].append(np.abs(x).max(axis=(0, 1)))
    return {value: np.max(maxima, axis=0) for value, maxima in found.items()}


def _row_wise_product(
    node: onnx.NodeProto, weight: np.ndarray, largest: np.ndarray | None, added: dict[str, np.ndarray]
) -> list[onnx.NodeProto]:
    """The nodes that replace a product.

    Args:
        node: the MatMul.
        weight: its matrix, ``[in, out]`` float32.
        largest: the largest magnitude of each input channel, to even them out; None leaves them as they are.
        added: receives the new initializers.
    """
    module, x = _module(node), node.input[0]
    nodes: list[onnx.NodeProto] = []

    def op(kind: str, *inputs: str, value: str = "", **attributes: Any) -> str:
        value = value or f"{module}/{kind}.value"
        nodes.append(make_node(kind, inputs, [value], name=f"{module}/{kind}", **attributes))
        return value

    def constant(name: str, value: np.ndarray | np.generic) -> str:
        added[name] = np.asarray(value)
        return name

    if largest is not None:
        factors = _evening_factors(largest, weight)
        weight = weight * factors[:, None]
        x = op("Mul", x, constant(f"{module}.evening", 1 / factors), value=f"{module}.evened")
    if module.endswith(_AFTER_GELU):
        steps, zero = _GELU
        magnitude = x
        least = constant("int8.least_after_gelu", np.float32(_GELU_MIN * steps / zero))
    else:
        steps, zero = _SIGNED
        magnitude = op("Abs", x)
        least = constant("int8.least", np.float32(1e-30))  # rows of padding are zero
    step = constant(f"int8.step_{steps}", np.float32(1 / steps))
    zero_point = constant(f"int8.zero_{zero}", np.uint8(zero))
    largest_of_row = op("ReduceMax", magnitude, constant("int8.last_axis", np.array([-1], np.int64)), keepdims=1)
    row_scale = op("Max", largest_of_row, least)
    rounded = op("QuantizeLinear", op("Div", x, row_scale), step, zero_point)

    integers, column_scale = _int8_columns(weight)
    matrix = constant(f"{node.input[1]}.int8", integers)
    sums = op("Cast", op("MatMulInteger", rounded, matrix, zero_point), to=TensorProto.FLOAT)
    scale = constant(f"{node.input[1]}.scale", column_scale / np.float32(steps))
    nodes += [
        make_node("Mul", [sums, scale], [f"{module}.unscaled"], name=f"{module}/Mul.columns"),
        make_node("Mul", [f"{module}.unscaled", row_scale], node.output, name=f"{module}/Mul.rows"),
    ]
    return nodes


def _evening_factors(largest: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The factors that the input's channels are divided by, ``[in]`` float32.

    They are powers of the square root of 2. The last bits of a calibration differ between processors; this rounding
    removes the difference.
    """
    rows = np.maximum(np.abs(weight).max(axis=1), 1e-6)
    exponent = np.log2(np.sqrt(np.maximum(largest, 1e-3) / rows))
    factors: np.ndarray = np.exp2(np.rint(2 * (exponent - exponent.mean())) / 2).astype(np.float32)
    return factors


def _int8_columns(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix ``[in, out]`` as int8 and a float32 scale for each column, ``[out]``."""
    rows, columns = weight.shape
    # Kernels add products of two neighbours, but may reorder each group of four. So every pair in a group counts.
    groups = np.pad(weight, ((0, -rows % 4), (0, 0))).reshape(-1, 4, columns)
    pairs = [np.sort(np.maximum(side, 0), axis=1)[:, 2:].sum(axis=1).max(axis=0) for side in (groups, -groups)]
    scale = np.maximum(np.abs(weight).max(axis=0) / 127, np.maximum(*pairs) / _PAIR_SUM)
    scale = np.where(scale > 0, scale, 1).astype(np.float32)  # a packed matrix is padded with zero columns
    return np.rint(weight / scale).astype(np.int8), scale


def _word_embeddings(node: onnx.NodeProto, table: np.ndarray, added: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """The nodes that look words up in an int8 table ``[vocab, hidden]``."""
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True) / 127, 1e-30).astype(np.float32)
    added[f"{_WORDS}.int8"], added[f"{_WORDS}.scale"] = np.rint(table / scale).astype(np.int8), scale
    integers, values, scales = (f"{_WORDS}.{part}" for part in ("rows", "unscaled", "row_scales"))
    return [
        make_node("Gather", [f"{_WORDS}.int8", node.input[1]], [integers], name=node.name),
        make_node("Cast", [integers], [values], name=f"{node.name}.cast", to=TensorProto.FLOAT),
        make_node("Gather", [f"{_WORDS}.scale", node.input[1]], [scales], name=f"{node.name}.scale"),
        make_node("Mul", [values, scales], node.output, name=f"{node.name}.mul"),
    ]
