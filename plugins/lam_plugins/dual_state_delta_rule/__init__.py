"""The recurrent form's operator: all of a mixer between its projections. See README.md in this folder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Options of the rule. The defaults are the published rule."""

    cross_coupling: bool = True
    """Whether the two states are mixed at the end of a chunk."""
    final_norm: bool = True
    """Whether both states are scaled to unit length at the end of every chunk. If only done after the last chunk, no
    output would read the result."""
    readout_norm: bool = True
    """Whether both states are scaled to unit length before they are read."""
    surprise_threshold: float | None = None
    """The psi above which the slow state takes up a chunk; None: it takes up every chunk."""


def op_type(chunk_size: int, options: Options, *, shared_flux: bool, stream: bool = False) -> str:
    """The ONNX op type. It contains chunk size, options and flux layout, because each of them changes the function.

    With ``stream``, it is the type of the operator that continues a text.
    """
    changes = {
        "uncoupled": not options.cross_coupling,
        "unnormed": not options.final_norm,
        "rawread": not options.readout_norm,
        "surprise": options.surprise_threshold is not None,
        "sharedflux": shared_flux,
    }
    rule = "DualStateDeltaRuleStream" if stream else "DualStateDeltaRule"
    return "_".join([f"{rule}_c{chunk_size}", *(name for name, changed in changes.items() if changed)])
