"""The parts of the model to which time is attributed, and the part of a module by its name."""

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
    "convolutions": "splitting into q, k, v; convolution and silu",
    "rule": "the delta rule on chunks, with cutting into chunks and joining them",
    "gates": "sigmoids, and the products with them",
    "norms": "LayerNorm with the residual, RMSNorm, the norms of q and k",
    "operator": "the fused operator, where it is one kernel or its parts are unknown",
    "FFN": "both products and GELU",
    "pooling": "the mean over tokens, unit length",
    "shapes": "arithmetic on sizes",
    "runtime": "between operators: allocation, scheduling, the profiler itself",
    "other": "operators whose part is unknown",
}
"""Meaning of each part, in the order of the model."""


class Place(NamedTuple):
    """A place in the model: a part and, if known, a layer."""

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
    """The place of a name such as ``layers.3.ffn_in`` or ``layers.3.ffn_in/MatMul``; None for an unknown name."""
    part = next((part for pattern, part in _MODULES if re.match(pattern, name)), None)
    return None if part is None else Place(part, layer_of(name))


def layer_of(name: str) -> int | None:
    """The number of the layer in a name: 3 for ``layers.3.form``; None without a layer."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None
