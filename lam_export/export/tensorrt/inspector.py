"""Reads the fused operator's nodes from the engine inspector's JSON."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_PROFILE = re.compile(r"\s*\[profile (\d+)\]\s*$", re.IGNORECASE)
_ORIGIN = re.compile(r"ONNX Layer: ([^\]\x1e]+)")


def fused_tactics(inspector: str, nodes: Iterable[str], variants: Mapping[int, str]) -> dict[str, str]:
    """The plugin's tactic that TensorRT chose for each node.

    The inspector's JSON has no fixed format and differs between TensorRT versions. Nodes that cannot be read are left
    out.

    Args:
        inspector: JSON of all layers, ``{"Layers": [{"Name": .., "LayerType": .., "TacticValue": ..}, ..], ..}``.
        nodes: names of the fused nodes in the graph.
        variants: the name of each tactic.

    Returns:
        The variant of each node; where profiles differ, ``"rows16 [profile 0], rows64 [profile 1]"``.
    """
    wanted = set(nodes)
    found: dict[str, dict[str, str]] = {}
    for layer in _layers(inspector):
        name, tactic = str(layer.get("Name", "")), _tactic(layer, variants)
        profile = _PROFILE.search(name)
        names = {layer_name(name), *_ORIGIN.findall(str(layer.get("Metadata") or ""))}
        plugin = str(layer.get("LayerType", "Plugin")).lower().startswith("plugin")
        if plugin and tactic:
            for node in wanted & names:
                found.setdefault(node, {})[profile[1] if profile else "0"] = tactic
    return {node: _joined(tactics) for node, tactics in sorted(found.items())}


def onnx_nodes(inspector: str) -> dict[str, tuple[str, ...]]:
    """The graph's nodes that each layer was made from, by the layer's name. ``inspector`` is as above."""
    found: dict[str, tuple[str, ...]] = {}
    for layer in _layers(inspector):
        name = layer_name(str(layer.get("Name", "")))
        found[name] = tuple(_ORIGIN.findall(str(layer.get("Metadata") or ""))) or (name,)
    return found


def layer_name(name: str) -> str:
    """A layer's name without the profile that TensorRT appends when there are several."""
    return _PROFILE.sub("", name)


def _layers(inspector: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(inspector)
    except ValueError:
        return []
    layers = content.get("Layers") if isinstance(content, dict) else None
    # In a plan built with less verbosity, a layer is only its name.
    return [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []


def _tactic(layer: Mapping[str, Any], variants: Mapping[int, str]) -> str:
    value = next((layer[key] for key in ("TacticValue", "TacticName") if layer.get(key) not in (None, "")), "")
    try:
        number = int(str(value), 0)  # written as 0x0000000000000001
    except ValueError:
        return str(value)
    return variants.get(number, str(value))


def _joined(tactics: Mapping[str, str]) -> str:
    if len(set(tactics.values())) == 1:
        return next(iter(tactics.values()))
    return ", ".join(f"{tactic} [profile {profile}]" for profile, tactic in sorted(tactics.items()))
