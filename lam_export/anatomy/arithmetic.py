"""How many additions and multiplications an ONNX operator takes, told from its shapes."""

import re
from collections.abc import Sequence
from math import prod

Shape = Sequence[int]

CONVENTION = (
    "A multiplication with an addition counts as two, an element of LayerNorm or RMSNorm as five, of any other "
    "function as one; moving counts as nothing."
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
        # Whatever is transposed, in0 has batch x rows x inner elements, and the result batch x rows x columns.
        return 2.0 * read * outputs[0][-1] if made else 0.0
    if _CONVOLUTIONS.fullmatch(kind):
        return 2.0 * made * prod(inputs[1]) / inputs[1][0]
    if _NORMS.fullmatch(kind):
        return 5.0 * made
    if kind.startswith("Reduce") or kind == "LpNormalization":
        return float(read)
    return float(made)
