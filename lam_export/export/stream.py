"""Exports the recurrent form as a stateful graph, for texts that come in windows."""

import onnx
import onnx_ir as ir
import torch

from lam_engines.contract import INPUT_IDS, WINDOW
from lam_export.model.encoder import Encoder
from lam_export.model.streaming import StreamingEncoder, beginning

from .operators import operator_of
from .opsets import DEFAULT_OPSET
from .trace import traced

INPUTS = (INPUT_IDS, WINDOW, "past_contexts", "past_states")
OUTPUTS = ("sum", "present_contexts", "present_states")


def onnx_from_stream(encoder: Encoder, *, opset: int = DEFAULT_OPSET, verbose: bool = False) -> onnx.ModelProto:
    """Export a recurrent encoder that embeds a text window by window.

    Inputs: ``input_ids`` (int64, ``[1, tokens]``), ``window`` (int64, ``[4]``), and the carried ``past_contexts``
    (float32, ``[layers, 2, 3 hidden]``) and ``past_states`` (float32, ``[layers, heads, 2, size, size]``), which are
    zeros at a text's beginning. Outputs: ``sum`` (float32, ``[1, hidden]``) of the window's own token embeddings, and
    ``present_contexts`` and ``present_states``, to carry to the next window. See :meth:`StreamingEncoder.forward`.

    Args:
        encoder: a float32 encoder of the form ``recurrent``.
        opset: the opset of the standard operators, one of ``opsets.OPSETS``.
        verbose: show the exporter's own messages.
    """
    ids = torch.zeros(1, 7, dtype=torch.int64)
    model = traced(
        StreamingEncoder(encoder).eval(),
        (ids, torch.tensor([0, 7, 0, 7]), *beginning(encoder)),
        ({1: torch.export.Dim("tokens")}, None, None, None),
        inputs=list(INPUTS),
        outputs=list(OUTPUTS),
        operator=operator_of(encoder, opset, stream=True),
        opset=opset,
        sum_residuals=True,
        verbose=verbose,
    )
    return ir.to_proto(model)
