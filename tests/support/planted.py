"""A tiny model of five layers, its graphs, and faults to plant in them."""

import copy
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import tiny
import torch
from onnx import helper, numpy_helper

from lam_export.export.mixed_precision import half_precision
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.checkpoint import Checkpoint
from lam_export.model.config import config_from_shapes
from lam_export.model.encoder import Encoder
from lam_plugins.fused_delta_rule import OP_DOMAIN

LAYERS = 5
CLS, SEP = 2, 3

Fault = Callable[[onnx.ModelProto], None]


def tensors() -> dict[str, torch.Tensor]:
    """Of a checkpoint in which every fault matters.

    Heads have gates of their own, as training gives them: random ones are so alike that two could be swapped unseen in
    16 bits. And a text's first token is flat before the embeddings' norm: there the norm's eps decides.
    """
    tensors = tiny.lam_tensors(layers=LAYERS)
    for name, tensor in tensors.items():
        if "_gate_proj" in name:
            tensor *= 6
    tensors["embeddings.word_embeddings.weight"][CLS] = 0.5
    tensors["embeddings.position_embeddings.weight"][0] = 0
    tensors["embeddings.token_type_embeddings.weight"][0] = 0
    return tensors


@cache
def encoder() -> Encoder:
    """The reference."""
    held = tensors()
    config, _ = config_from_shapes({name: tuple(tensor.shape) for name, tensor in held.items()}, {})
    nowhere = {"layout": "", "weights": Path(), "sha256": "", "teacher": None, "tokenizer": None, "from_teacher": ()}
    return Encoder(Checkpoint(config=config, tensors=held, **nowhere))


@cache
def _exported(precision: str) -> bytes:
    single = copy.deepcopy(encoder()).float()
    model = onnx_from_encoder(half_precision(single) if precision == "fp16" else single)
    return model.SerializeToString()


def graph(precision: str) -> onnx.ModelProto:
    """A sound graph, the caller's own."""
    return onnx.load_from_string(_exported(precision))


@cache
def batches() -> tuple[Mapping[str, np.ndarray], ...]:
    """Texts of a few tokens, one longer than a chunk, padding."""
    random = np.random.default_rng(0)

    def batch(*lengths: int) -> Mapping[str, np.ndarray]:
        mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
        ids = random.integers(5, tiny.VOCAB, mask.shape)
        ids[:, 0] = CLS
        for row, length in zip(ids, lengths, strict=True):
            row[length - 1] = SEP
        return {"input_ids": ids * mask, "attention_mask": mask}

    return batch(2), batch(3, 5, 8, 4), batch(12, 140)


@cache
def embeddings() -> tuple[np.ndarray, ...]:
    """The reference's, of each batch."""
    double = copy.deepcopy(encoder()).double()
    with torch.inference_mode():
        return tuple(double(*map(torch.from_numpy, batch.values()))[0].numpy() for batch in batches())


# Faults of the graph.


def swapped_gates(model: onnx.ModelProto, layer: int) -> None:
    """The rows of both gates, of the first head and the second."""
    weight = _initializer(model, f"layers.{layer}.form.in_proj.weight.T")
    columns = numpy_helper.to_array(weight).copy()
    for gate in (1, 2):
        first = 4 * tiny.HIDDEN + gate * tiny.HEADS
        columns[:, [first, first + 1]] = columns[:, [first + 1, first]]
    weight.CopyFrom(numpy_helper.from_array(columns, weight.name))


def no_second_gelu(model: onnx.ModelProto, layer: int | None = None) -> None:
    """Of one layer, or of all."""
    for i in range(LAYERS) if layer is None else [layer]:
        second = next(node for node in model.graph.node if node.name == f"layers.{i}/Gelu.2")
        for node in model.graph.node:
            node.input[:] = [second.input[0] if name == second.output[0] else name for name in node.input]
        model.graph.node.remove(second)


def layer_norm_eps_0(model: onnx.ModelProto, part: str) -> None:
    node = next(node for node in model.graph.node if node.name == f"{part}/LayerNormalization")
    _attribute(node, "epsilon").f = 0.0


def not_a_number(model: onnx.ModelProto, layer: int) -> None:
    bias = _initializer(model, f"layers.{layer}.ffn_in.bias")
    values = numpy_helper.to_array(bias).copy()
    values[7] = np.nan
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))


# Faults of the operator: in the function that all layers share, or in a copy that is one layer's own.


def rms_norm_eps_0(model: onnx.ModelProto, layer: int | None = None) -> None:
    function = _function(model, layer)
    total = _node(function, _node(function, "rms").input[0])
    _attribute(_node(function, total.input[1]), "value_float").f = 0.0


def true_inverse(model: onnx.ModelProto, layer: int | None = None) -> None:
    """``T = I + A + below(A A)``, where the model was trained with ``A A^T``."""
    function = _function(model, layer)
    place = list(function.node).index(_node(function, "s"))
    del function.node[place]
    square = helper.make_node("MatMul", ["a", "a"], ["square_of_a"])  # `a` is -A
    function.node.insert(place, helper.make_node("Sub", ["square_of_a", "a"], ["s"]))
    function.node.insert(place, square)


def other_factor_transposed(model: onnx.ModelProto, layer: int | None = None) -> None:
    """``z kb^T``, where T has ``kb z^T``."""
    function = _function(model, layer)
    product = _node(function, _node(function, "s").input[0])
    transpose = _node(function, product.input[1])
    product.input[0], transpose.input[0] = transpose.input[0], product.input[0]


def conv_pads(model: onnx.ModelProto, before: int, after: int, layer: int | None = None) -> None:
    """Tokens before and after the text that the convolution sees as zeros: 2 and 1 in a sound graph."""
    function = _function(model, layer)
    node = next(node for node in function.node if node.op_type == "Conv")
    _attribute(node, "pads").ints[:] = [before, 0, after, 0]


def _function(model: onnx.ModelProto, layer: int | None) -> onnx.FunctionProto:
    (shared,) = model.functions
    if layer is None:
        return shared
    own = model.functions.add()
    own.CopyFrom(shared)
    own.name += "_faulty"
    nodes = [node for node in model.graph.node if node.domain == OP_DOMAIN]
    nodes[layer].op_type = own.name
    return own


def _node(function: onnx.FunctionProto, output: str) -> onnx.NodeProto:
    return next(node for node in function.node if output in node.output)


def _attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    return next(attribute for attribute in node.attribute if attribute.name == name)


def _initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)
