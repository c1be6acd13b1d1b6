"""The operator as an ONNX function of standard operators, with a loop over chunks inside it."""

from collections.abc import Mapping

import onnx
import onnx_ir as ir
from onnxscript import OpBuilder, build_function

from lam_plugins.fused_delta_rule import OP_DOMAIN

from . import Options, op_type
from .onnx_body import CARRIED, Body

_WEIGHTS = {
    "conv_weight": 2,
    "conv_bias": 1,
    "norm_weight": 1,
    "decay_bias": 1,
    "flux_weight": 3,
    "flux_temperature": 1,
    "flux_in_weight": 2,
    "flux_in_bias": 1,
    "flux_out_weight": 2,
    "flux_out_bias": 1,
}
FUNCTION_INPUTS: Mapping[str, int] = {"projected": 3, "lengths": 1, **_WEIGHTS}
"""The number of dimensions of each input. A shared flux weight has 2."""
STREAM_FUNCTION_INPUTS: Mapping[str, int] = {"projected": 3, "lengths": 1, **CARRIED, **_WEIGHTS}
INTEGER_INPUTS = ("lengths", "own")
"""The inputs that are int32. All others are floats."""


def dual_state_delta_rule_function(
    chunk_size: int,
    hidden_size: int,
    head_size: int,
    opset: int,
    options: Options,
    *,
    shared_flux: bool,
    stream: bool = False,
) -> onnx.FunctionProto:
    """The definition that travels in an exported file beside the nodes that call it.

    It computes what ``naive.py`` computes, with as little as possible inside the loop (README.md derives it). Padded
    rows of ``projected`` must be finite; they have no influence. Inputs may be float32 or float16. The heads have the
    same type, and everything between is float32.

    Args:
        chunk_size: C. A text of fewer tokens is one chunk of its own length.
        hidden_size: M; the depthwise convolution's ``group`` must be a constant.
        head_size: D; shapes inside the loop must be constants, because OpenVINO's loops read nothing from outside.
        opset: of the standard operators, at least 18.
        options: options of the rule.
        shared_flux: whether ``flux_weight`` is ``[D, D]``, for all heads, rather than ``[H, D, D]``.
        stream: whether the function continues a text.

    Returns:
        A function of :data:`FUNCTION_INPUTS`, as in ``naive.py``, with the output ``heads [B, L, M]``; with ``stream``
        one of :data:`STREAM_FUNCTION_INPUTS`, with a second output, ``state [B, H, 2, D, D]``.
    """
    ranks = dict(STREAM_FUNCTION_INPUTS if stream else FUNCTION_INPUTS)
    if shared_flux:
        ranks["flux_weight"] = 2

    def record(op: OpBuilder, *inputs: ir.Value) -> ir.Value | tuple[ir.Value, ir.Value]:
        body = Body(op, dict(zip(ranks, inputs, strict=True)), chunk_size, hidden_size, head_size)
        heads, state = body.heads_and_state(options, shared_flux)
        return heads if state is None else (heads, state)

    # The builder needs types and ranks: it casts every constant that is combined with a value of unknown type. The
    # written function has none.
    types = {name: ir.DataType.INT32 if name in INTEGER_INPUTS else ir.DataType.FLOAT for name in ranks}
    function = build_function(
        record,
        [
            ir.Value(name=name, type=ir.TensorType(types[name]), shape=ir.Shape([None] * rank))
            for name, rank in ranks.items()
        ],
        domain=OP_DOMAIN,
        name=op_type(chunk_size, options, shared_flux=shared_flux, stream=stream),
        opset_imports={"": opset},
    )
    for value in (*function.inputs, *(output for node in function for output in node.outputs)):
        value.type = value.shape = None
    return ir.serde.serialize_function(function)
