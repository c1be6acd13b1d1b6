"""The parts of the model that time is laid to, and how the name of a module tells its part."""

import re
from typing import Literal, NamedTuple

Part = Literal[
    "embeddings",
    "projections",
    "convolutions",
    "rule",
    "gates",
    "norms",
    "operator",
    "FFN",
    "pooling",
    "shapes",
    "runtime",
    "other",
]

MEANING: dict[Part, str] = {
    "embeddings": "looking up words and positions",
    "projections": "the products before and after the fused operator",
    "convolutions": "columns to q, k, v; convolution and silu",
    "rule": "the delta rule on chunks, to chunks and back",
    "gates": "sigmoids, and all that they are multiplied with",
    "norms": "LayerNorm with the residual, RMSNorm, the norms of q and k",
    "operator": "the fused operator where it is one kernel, or cannot be told apart",
    "FFN": "both products and GELU",
    "pooling": "the mean over tokens, unit length",
    "shapes": "arithmetic on sizes",
    "runtime": "between operators: allocation, scheduling, the profiler itself",
    "other": "what could not be told",
}
"""In the order of the model."""


class Place(NamedTuple):
    """Where in the model something happens."""

    part: Part
    layer: int | None = None


_LAYER = re.compile(r"layers\.(\d+)(?:\.|/|$)")
_MODULES: tuple[tuple[str, Part], ...] = (
    (r"embeddings\.norm\b", "norms"),
    (r"embeddings\b", "embeddings"),
    (r"layers\.\d+\.(form\.in_proj|o_proj)\b", "projections"),
    (r"layers\.\d+\.form(/|$)", "operator"),
    (r"layers\.\d+\.(mixer_norm|ffn_norm)\b", "norms"),
    (r"layers\.\d+\.(ffn_in|ffn_out)\b", "FFN"),
)


def place_of_module(name: str) -> Place | None:
    """The place of ``layers.3.ffn_in`` or ``layers.3.ffn_in/MatMul``; None where the name does not tell."""
    part = next((part for pattern, part in _MODULES if re.match(pattern, name)), None)
    return None if part is None else Place(part, layer_of(name))


def layer_of(name: str) -> int | None:
    """3 of ``layers.3.form``."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None
