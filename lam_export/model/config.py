"""The sizes and constants of a LAM checkpoint. The sizes come from the tensors' shapes, never from a default."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from lam_engines.bundles.manifest import ModelInfo

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
_PUBLISHED = {"layer_norm_eps": 1e-12, "pad_token_id": 0, "ffn_activation_passes": 2, "blend": (0.1, 0.9)}
"""Constants where the config names none. Trained weights really expect GELU twice."""


def config_from_shapes(
    shapes: Mapping[str, tuple[int, ...]], declared: Mapping[str, Any]
) -> tuple[ModelInfo, list[str]]:
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
    given = {name: flat[name] for name in ModelInfo.model_fields if name not in sizes and flat.get(name) is not None}
    pad = given.get("pad_token_id", 0)
    if isinstance(pad, int) and not 0 <= pad < vocab_size:
        raise ValueError(f"expected pad_token_id in the vocabulary (0..{vocab_size - 1}), found {pad} in the config")
    try:
        config = ModelInfo.model_validate(sizes | _PUBLISHED | given)
    except ValidationError as error:
        name = str((*error.errors()[0]["loc"], "pad_token_id")[0])  # what has no place is about the padding token
        raise ValueError(f"the config's {name} = {given[name]!r} is not usable") from None
    if config.layer_norm_eps <= 0:
        raise ValueError(f"expected layer_norm_eps above 0, found {config.layer_norm_eps}")
    if config.ffn_activation_passes not in (1, 2):
        raise ValueError(f"expected ffn_activation_passes 1 or 2, found {config.ffn_activation_passes}")
    return config, notes


def _matrix_shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, int]:
    shape = shapes[name]
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"misshapen tensor {name} (expected a matrix that is not empty, found {list(shape)})")
    return shape[0], shape[1]
