"""Translates every layout of a LAM checkpoint to the canonical tensor names of ``schema.py``."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from .errors import CheckpointError

# The parts of a model that training checkpoints may hold as dictionaries of their own, keyed `{layer}.*`.
_GROUPS = ("deltanet_layers", "lam_layers", "deltanet_norms", "deltanet_ffns", "output_denses", "ffn_norms")
# Lightning's is "state_dict", DeepSpeed's "module".
_STATE_DICTS = ("model_state_dict", "student_encoder", "state_dict", "model", "module")
# Of DistributedDataParallel and DeepSpeed, torch.compile, and FSDP with activation checkpointing. They stand before any
# part of a name, in any order and as often as a module was wrapped.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)+")
_LAYERS = re.compile(r"(.*?)(?:deltanet|lam)_layers\.\d+\.")

_TEACHER = "teacher_model."
_FROM_BERT = (
    (re.compile(r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(weight|bias)"), r"deltanet_norms.\1.\2"),
    (re.compile(r"encoder\.layer\.(\d+)\.intermediate\.dense\.(weight|bias)"), r"deltanet_ffns.\1.dense.\2"),
    (re.compile(r"encoder\.layer\.(\d+)\.output\.dense\.(weight|bias)"), r"output_denses.\1.\2"),
    (re.compile(r"encoder\.layer\.(\d+)\.output\.LayerNorm\.(weight|bias)"), r"ffn_norms.\1.\2"),
)
# BERT's tensors that LAM replaces, and those that do not belong to the encoder.
_UNUSED_BERT = re.compile(
    r"encoder\.layer\.\d+\.attention\.(self\.(query|key|value)|output\.dense)\.(weight|bias)"
    r"|pooler\.dense\.(weight|bias)|embeddings\.position_ids"
)


def state_dict_of(content: Mapping[str, Any]) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """Find the tensors in the content of a checkpoint file.

    Args:
        content: a state dict, or a training checkpoint that holds one or several state dicts by name.

    Returns:
        The layout in words, the flat state dict, and the training checkpoint's ``config`` (empty if it has none).

    Raises:
        CheckpointError: nothing in it looks like a state dict, or it holds several LAMs, such as an average too.
    """
    several = sorted(str(name) for name, value in content.items() if isinstance(value, Mapping) and _has_layers(value))
    if len(several) > 1:
        raise CheckpointError(f"expected LAM layers once, found them under {', '.join(several[:5])}; keep one of them")
    config = _plain(content.get("config"))
    for name in _STATE_DICTS:
        if isinstance(content.get(name), Mapping):
            return f"training checkpoint ({name})", _tensors_only(content[name], name), config
    groups = [g for g in _GROUPS if isinstance(content.get(g), Mapping)]
    if groups:
        tensors = {f"{g}.{key}": t for g in groups for key, t in _tensors_only(content[g], g).items()}
        return f"training checkpoint ({', '.join(groups)})", tensors, config
    return "state dict", _tensors_only(content, "the file"), config


def _has_layers(state: Mapping[Any, Any]) -> bool:
    return any(
        isinstance(name, str) and isinstance(value, Tensor) and _LAYERS.match(_WRAPPERS.sub("", name))
        for name, value in state.items()
    )


def _plain(config: Any) -> dict[str, Any]:
    """A training checkpoint's config as plain JSON values. It may hold any Python objects."""
    if not isinstance(config, Mapping):
        return {}
    try:
        return json.loads(json.dumps(dict(config), default=str, skipkeys=True))
    except (ValueError, RecursionError):  # it holds itself
        return {}


def _tensors_only(content: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    foreign = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if foreign or not content:
        found = f"{', '.join(foreign[:5])} that are none" if foreign else "nothing"
        raise CheckpointError(
            f"expected tensors in {where}, found {found}; a training checkpoint holds its tensors under one of "
            f"{', '.join(_STATE_DICTS + _GROUPS[:2])}"
        )
    return _renamed({str(name): value for name, value in content.items()}, lambda name: _WRAPPERS.sub("", name))


def _renamed(tensors: Mapping[str, Tensor], new_name: Callable[[str], str]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if (new := new_name(name)) in renamed:
            raise CheckpointError(f"expected the tensor {new} once, found it again as {name}; keep one of them")
        renamed[new] = tensor
    return renamed


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without what stands before LAM's layers, such as ``model.`` in a Lightning module."""
    found = {match[1] for name in state if (match := _LAYERS.match(name))}
    if len(found) > 1:
        raise CheckpointError(
            f"expected LAM layers once, found them under {', '.join(repr(prefix) for prefix in sorted(found)[:5])}; "
            f"keep one of them"
        )
    prefix = "".join(found)
    return _renamed(state, lambda name: name.removeprefix(prefix))


def canonical_tensors(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a LAM state dict into the student's tensors and its teacher's, both under canonical names.

    Raises:
        CheckpointError: it has no LAM layer, or two sets of them. The message says what it looks like instead.
    """
    bare = _without_prefix(state)
    named = {re.sub(r"^lam_layers\.", "deltanet_layers.", name): t for name, t in bare.items()}
    if not any(name.startswith("deltanet_layers.") for name in named):
        raise CheckpointError(f"expected LAM layers (deltanet_layers.0.*), found {_describe(state)}")
    if len(named) < len(state):
        raise CheckpointError(
            "expected LAM layers once, found both deltanet_layers.* and lam_layers.*; keep one of them"
        )
    teacher = {name.removeprefix(_TEACHER): t for name, t in named.items() if name.startswith(_TEACHER)}
    student = {
        name: t for name, t in named.items() if not name.startswith(_TEACHER) and not _UNUSED_BERT.fullmatch(name)
    }
    return student, canonical_teacher(teacher, _TEACHER)


def canonical_teacher(bert: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """A BERT's embeddings, feed-forward parts and norms under canonical names. Its attention is left out.

    Raises:
        CheckpointError: there is a tensor that no BERT encoder has. The message names it with ``prefix``.
    """
    canonical = {}
    for name, tensor in bert.items():
        if _UNUSED_BERT.fullmatch(name):
            continue
        for pattern, replacement in _FROM_BERT:
            if pattern.fullmatch(name):
                canonical[pattern.sub(replacement, name)] = tensor
                break
        else:
            if not name.startswith("embeddings."):
                raise CheckpointError(f"unexpected tensor {prefix}{name}: no BERT encoder has it")
            canonical[name] = tensor
    return canonical


def _describe(state: Mapping[str, Tensor]) -> str:
    sample = ", ".join(list(state)[:3])
    if any("attention.self.query" in name for name in state):
        return f"a plain BERT ({sample}, ...); a BERT can only be the teacher: --teacher DIR"
    return f"{len(state)} other tensors ({sample}, ...)"
