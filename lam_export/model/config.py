"""The sizes and constants of a LAM checkpoint."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ModelConfig:
    """The sizes and constants of a LAM encoder. The sizes come from the tensors' shapes, never from a default."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    type_vocab_size: int
    position_rows: int
    """Rows of the position table. Longer texts interpolate between them, so this limits nothing."""
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    ffn_activation_passes: int = 2
    """How often GELU is applied in the feed-forward part. Trained weights really expect two."""
    blend: tuple[float, float] = (0.1, 0.9)
    """Weights of the flat form's fast and slow path."""
    cross_coupling: bool = True
    """Whether the recurrent form's two states are mixed at the end of a chunk."""
    final_norm: Literal["chunk", "end"] = "chunk"
    """When the recurrent form's states are scaled to unit length: after every chunk, or only at the end of the text.
    No embedding reads the states after the last chunk."""
    readout_norm: bool = True
    """Whether the recurrent form's states are scaled to unit length before they are read."""
    surprise_threshold: float | None = None
    """Flux (0.01 to 0.99) above which the recurrent form's slow state takes up a chunk; None: it takes up all."""

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


# The names of each size in a config.json, the preferred one first. `lam_config` inside it may hold them too.
_SIZE_NAMES = {
    "hidden_size": ("hidden_size", "d_model"),
    "num_hidden_layers": ("num_hidden_layers", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "num_heads"),
    "intermediate_size": ("intermediate_size",),
    "vocab_size": ("vocab_size",),
    "type_vocab_size": ("type_vocab_size",),
    "position_rows": ("max_position_embeddings",),
}
_CONSTANT_NAMES = (
    "layer_norm_eps",
    "pad_token_id",
    "ffn_activation_passes",
    "blend",
    "cross_coupling",
    "final_norm",
    "readout_norm",
    "surprise_threshold",
)
_FINAL_NORMS = ("chunk", "end")


def config_from_shapes(
    shapes: Mapping[str, tuple[int, ...]], declared: Mapping[str, Any]
) -> tuple[ModelConfig, list[str]]:
    """The configuration of a model whose tensors have these shapes.

    Args:
        shapes: tensor name to shape, in the names of :mod:`lam_export.model.checkpoint.schema`.
        declared: the checkpoint's ``config.json``, which may be empty. Constants are read from it, and its sizes are
            compared with the shapes.

    Returns:
        The configuration, and one sentence for each size in ``declared`` that differs from the tensors. The
        configuration has the tensors' sizes.

    Raises:
        KeyError: a tensor that decides a size is missing.
        ValueError: a tensor that decides a size is not a matrix, or a constant in ``declared`` is invalid.
    """
    flat = {**declared, **(declared.get("lam_config") or {})}
    vocab_size, hidden_size = _matrix_shape(shapes, "embeddings.word_embeddings.weight")
    sizes: dict[str, Any] = {
        "hidden_size": hidden_size,
        # Counted, not the highest index. So a gap is reported as a missing layer, and a huge index does no harm.
        "num_hidden_layers": len({m[1] for n in shapes if (m := re.match(r"deltanet_layers\.(\d+)\.", n))}),
        "num_attention_heads": _matrix_shape(shapes, "deltanet_layers.0.b_proj.weight")[0],
        "intermediate_size": _matrix_shape(shapes, "deltanet_ffns.0.dense.weight")[0],
        "vocab_size": vocab_size,
        "type_vocab_size": _matrix_shape(shapes, "embeddings.token_type_embeddings.weight")[0],
        "position_rows": _matrix_shape(shapes, "embeddings.position_embeddings.weight")[0],
    }
    if sizes["hidden_size"] % sizes["num_attention_heads"]:
        raise ValueError(
            f"hidden size {sizes['hidden_size']} is not a multiple of {sizes['num_attention_heads']} heads "
            f"(rows of deltanet_layers.0.b_proj.weight)"
        )
    notes = []
    for field, names in _SIZE_NAMES.items():
        for name in names:
            if flat.get(name) not in (None, sizes[field]):
                notes.append(f"config says {name} = {flat[name]!r}, the tensors say {sizes[field]}")
    if flat.get("hidden_act") not in (None, "gelu"):
        raise ValueError(f"expected hidden_act 'gelu', found {flat['hidden_act']!r} in the config")
    config = ModelConfig(**sizes, **_constants(flat))
    if not 0 <= config.pad_token_id < config.vocab_size:
        raise ValueError(
            f"expected pad_token_id in the vocabulary (0..{config.vocab_size - 1}), found {config.pad_token_id} in the "
            f"config"
        )
    return config, notes


def _matrix_shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, int]:
    shape = shapes[name]
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"misshapen tensor {name} (expected a matrix that is not empty, found {list(shape)})")
    return shape[0], shape[1]


def _constants(flat: Mapping[str, Any]) -> dict[str, Any]:
    constants: dict[str, Any] = {}
    for name in _CONSTANT_NAMES:
        if flat.get(name) is None:
            continue
        value = flat[name]
        try:
            if name == "blend":
                fast, slow = value
                constants[name] = (_finite(fast), _finite(slow))
            elif name in ("layer_norm_eps", "surprise_threshold"):
                constants[name] = _finite(value)
            elif name in ("cross_coupling", "readout_norm"):
                constants[name] = _true_or_false(value)
            elif name == "final_norm":
                constants[name] = _FINAL_NORMS[_FINAL_NORMS.index(value)]
            else:
                constants[name] = _whole(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"the config's {name} = {value!r} is not usable") from None
    if constants.get("layer_norm_eps", 1) <= 0:
        raise ValueError(f"expected layer_norm_eps above 0, found {constants['layer_norm_eps']}")
    if constants.get("ffn_activation_passes", 2) not in (1, 2):
        raise ValueError(f"expected ffn_activation_passes 1 or 2, found {constants['ffn_activation_passes']}")
    return constants


def _true_or_false(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(value)
    return value


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
