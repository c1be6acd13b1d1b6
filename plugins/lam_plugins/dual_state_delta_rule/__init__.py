"""The recurrent form's operator with its wide boundary; see README.md in this folder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What the rule does besides the delta rule itself; the defaults are the published rule."""

    cross_coupling: bool = True
    """The two states see each other at the end of a chunk."""
    final_norm: bool = True
    """Both states are brought to unit length at the end of every chunk. Once after the last one, no output reads it."""
    readout_norm: bool = True
    """Both states are brought to unit length before they are read."""
    surprise_threshold: float | None = None
    """The slow state takes up a chunk only where psi exceeds this; None: every chunk."""


def op_type(chunk_size: int, options: Options, *, shared_flux: bool, stream: bool = False) -> str:
    """The ONNX op type: chunk size, options and layout of the flux are part of it, as each makes another function.

    With ``stream`` it is that of the operator that goes on from a place in the text.
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
