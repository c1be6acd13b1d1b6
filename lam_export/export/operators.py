"""The operators that are one node per layer in an exported graph, and the functions that define them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, cast

import onnx
import torch
from onnxscript.onnx_types import TensorType

from lam_export.model.encoder import Encoder
from lam_export.model.forms.flat import Flat
from lam_export.model.forms.recurrent import Recurrent
from lam_plugins import dual_state_delta_rule, fused_delta_rule
from lam_plugins.dual_state_delta_rule import onnx_function as dual_state_function
from lam_plugins.fused_delta_rule import onnx_function as fused_function

_DUAL_STATE_CONSTANTS = {
    "chunk_size": int,
    "cross_coupling": bool,
    "final_norm": bool,
    "readout_norm": bool,
    "surprise_threshold": float,
}


@dataclass(frozen=True)
class Operator:
    """An operator with all its options fixed; only its tensors are open."""

    overload: Any
    """The ``torch._ops.OpOverload`` that the encoder calls."""
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: onnx.FunctionProto
    translate: Callable[[Callable[..., Any]], Callable[..., Any]]
    """Makes the function that PyTorch's exporter calls instead of the operator. Its argument is a function that makes a
    node from tensors alone."""
    plugin: bool = False
    """Whether there is a TensorRT plugin for it."""


def operator_of(encoder: Encoder, opset: int, *, stream: bool = False) -> Operator | None:
    """The operator of an encoder's layers; None if they consist of standard operators.

    Args:
        encoder: an encoder whose layers have one form.
        opset: the opset of the standard operators in the function.
        stream: whether to take the operator that continues a text, which the form ``recurrent`` has.
    """
    form = cast(Any, encoder.layers[0]).form
    hidden_size = encoder.config.hidden_size
    if isinstance(form, Flat):
        return Operator(
            torch.ops.lam.fused_delta_rule.default,
            fused_delta_rule.op_type(form.chunk_size),
            fused_function.FUNCTION_INPUTS,
            ("heads",),
            fused_function.fused_delta_rule_function(form.chunk_size, hidden_size, opset),
            _translation(fused_function.FUNCTION_INPUTS, {"chunk_size": int}),
            plugin=True,
        )
    if isinstance(form, Recurrent):
        shared = form.get_parameter("flux_weight").ndim == 2
        function = dual_state_function.dual_state_delta_rule_function(
            form.chunk_size,
            hidden_size,
            encoder.config.head_size,
            opset,
            form.options,
            shared_flux=shared,
            stream=stream,
        )
        inputs = tuple(dual_state_function.STREAM_FUNCTION_INPUTS if stream else dual_state_function.FUNCTION_INPUTS)
        ops = torch.ops.lam
        return Operator(
            ops.dual_state_delta_rule_stream.default if stream else ops.dual_state_delta_rule.default,
            dual_state_delta_rule.op_type(form.chunk_size, form.options, shared_flux=shared, stream=stream),
            inputs,
            ("heads", "state_after") if stream else ("heads",),
            function,
            _translation(inputs, _DUAL_STATE_CONSTANTS),
        )
    return None


def fused_layers(encoder: Encoder) -> int:
    """The number of operator nodes in an encoder's graph."""
    return sum(isinstance(cast(Any, layer).form, Flat | Recurrent) for layer in encoder.layers)


def _translation(
    inputs: Sequence[str], constants: Mapping[str, type]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What makes a node of the tensors alone; the constants are in the function that defines it.

    PyTorch's exporter wants every parameter named and annotated, and asks for them by these two attributes.
    """

    def translate(op: Callable[..., Any]) -> Callable[..., Any]:
        def node(*tensors: Any, **rest: Any) -> Any:
            given = dict(zip((*inputs, *constants), tensors, strict=False)) | rest
            return op(*(given[name] for name in inputs))

        parameters = {**dict.fromkeys(inputs, TensorType), **constants}
        node.__annotations__ = {**parameters, "return": TensorType}
        node.__signature__ = Signature(  # type: ignore[attr-defined]
            [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=kind) for name, kind in parameters.items()],
            return_annotation=TensorType,
        )
        return node

    return translate
