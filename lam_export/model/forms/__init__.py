"""The forms of the delta rule. Each is one module with the interface of :class:`Form`."""

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

from torch import Tensor

from lam_export.model.config import ModelConfig


class Form(Protocol):
    """The part of a mixer between its input and ``o_proj``, as a ``torch.nn.Module``."""

    def __init__(self, config: ModelConfig, layer: Mapping[str, Tensor], chunk_size: int | None) -> None:
        """Take what the form needs from one layer's tensors (names without ``deltanet_layers.{i}.``)."""

    def __call__(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``x [B, L, M]`` and ``lengths [B]`` int32 to the concatenated heads ``[B, L, M]``, zero in padded rows."""


def form_class(name: str) -> type[Form]:
    """The form with that name.

    Raises:
        KeyError: there is no such form.
    """
    module, attribute = _PLACES[name]
    form: type[Form] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return form


_PLACES = {"flat": ("flat", "Flat"), "recurrent": ("recurrent", "Recurrent"), "parallel": ("parallel", "Parallel")}
FORMS = tuple(_PLACES)
CHUNK_SIZES: Mapping[str, int | None] = {"flat": 128, "recurrent": 32, "parallel": None}
"""Tokens in a chunk with which published models of each form were trained; None: the form has no chunks."""
