"""Count the additions and multiplications of an ONNX operator from its shapes."""

import re
from collections.abc import Sequence
from math import prod

Shape = Sequence[int]

CONVENTION = (
    "A multiplication with an addition counts as two operations. An element of LayerNorm or RMSNorm counts as five, an "
    "element of any other function as one. Moving data counts as nothing."
)
_PRODUCTS = re.compile("(Fused|Transpose)?MatMul|(Fused)?Gemm|MatMulInteger|QLinearMatMul")
_CONVOLUTIONS = re.compile("(Fused)?Conv|ConvInteger")
_NORMS = re.compile("(Skip)?(Simplified)?LayerNormalization|RMSNormalization")
_MOVES = re.compile(
    "Transpose|Reshape|Split|Concat|Pad|Slice|Gather|Cast|CastLike|Expand|Squeeze|Unsqueeze|Identity|Shape|Trilu|Range|"
    "ReorderInput|ReorderOutput|ConstantOfShape|Tile"
)


def operations(kind: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> float:
    """Additions and multiplications of one operator; see :data:`CONVENTION`."""
    if not inputs or not outputs or _MOVES.fullmatch(kind):
        return 0.0
    read, made = prod(inputs[0]), prod(outputs[0])
    if _PRODUCTS.fullmatch(kind):
        # However it is transposed, the first input has batch x rows x inner elements, and the result's last axis is
        # columns.
        return 2.0 * read * outputs[0][-1] if made else 0.0
    if _CONVOLUTIONS.fullmatch(kind):
        return 2.0 * made * prod(inputs[1]) / inputs[1][0]
    if _NORMS.fullmatch(kind):
        return 5.0 * made
    if kind.startswith("Reduce") or kind == "LpNormalization":
        return float(read)
    return float(made)
