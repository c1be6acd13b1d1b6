"""What an exported graph goes through before it is written: one pass a file, and their order here."""

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
    """The passes in order. Names come first, for they are read from what the last one drops.

    Args:
        root: the module that names are relative to; see :class:`NameParts`.
        with_weight: names of the modules that have a parameter ``weight``.
        operator: of the layers; None if they are made of standard ones.
        sum_residuals: whether residual sums are written as ``Sum``.
    """
    chosen: list[ir.passes.InPlacePass] = [NameParts(root, with_weight)]
    if sum_residuals:
        chosen.append(SumResiduals())
    if operator is not None:
        chosen.append(AttachFunction(operator))
    return ir.passes.Sequential(*chosen, Sign())
