"""The passes that edit an exported graph before it is written. Each file has one pass; their order is here."""

from collections.abc import Collection

import onnx_ir as ir

from lam_export.export.operators import Operator

from .functions import AttachFunction
from .names import NameParts
from .residuals import SumResiduals
from .signature import Sign


def passes(
    root: str, with_weight: Collection[str], operator: Operator | None, *, sum_residuals: bool
) -> ir.passes.Sequential:
    """The passes in order. Naming comes first, because it reads metadata that the last pass drops.

    Args:
        root: the module that names are relative to; see :class:`NameParts`.
        with_weight: names of the modules that have a parameter ``weight``.
        operator: the layers' operator; None if they consist of standard operators.
        sum_residuals: whether to write residual sums as ``Sum``.
    """
    chosen: list[ir.passes.InPlacePass] = [NameParts(root, with_weight)]
    if sum_residuals:
        chosen.append(SumResiduals())
    if operator is not None:
        chosen.append(AttachFunction(operator))
    return ir.passes.Sequential(*chosen, Sign())
