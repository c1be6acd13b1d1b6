"""The inner values of the reference, under the names that an exported graph gives them."""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lam_engines.contract import INPUTS, SENTENCE_EMBEDDING

if TYPE_CHECKING:
    from lam_export.model.encoder import Encoder

STEPS = ("convolved", "mixed")
"""Inner values of the fused operator. ``naive.Steps`` and the ONNX function use the same names."""


def value_names(encoder: "Encoder") -> set[str]:
    """Every name that :func:`inner_values` may accept: modules, steps of their operators, and the embedding."""
    modules = {name for name, _ in encoder.named_modules()}
    return modules | {f"{module}.{step}" for module in modules for step in STEPS} | {SENTENCE_EMBEDDING}


def inner_values(encoder: "Encoder", names: Collection[str], feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run the reference in float64 and keep its inner values.

    Args:
        encoder: the reference. It is converted to float64 in place.
        names: the values to keep, from :func:`value_names`. A step is kept only if its operator's result is kept too.
        feed: ``input_ids`` and ``attention_mask``, ``[B, L]`` int64 each.

    Returns:
        Name to float64: modules ``[B, L, ...]``, padded tokens included; ``sentence_embedding [B, M]``.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from lam_plugins.dual_state_delta_rule import torch_op
    from lam_plugins.fused_delta_rule import naive

    operators: dict[Any, Callable[..., naive.Steps]] = {
        torch.ops.lam.fused_delta_rule.default: naive.steps,
        torch.ops.lam.dual_state_delta_rule.default: torch_op.steps,
    }

    class Observer(TorchDispatchMode):
        """Computes the operator in place of PyTorch and keeps its steps, so that nothing is computed twice."""

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.steps: naive.Steps

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in operators:
                self.steps = operators[func](*args)
                return self.steps.heads
            return func(*args, **(kwargs or {}))

    values: dict[str, np.ndarray] = {}
    observer = Observer()

    def keep(name: str, module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> None:
        values[name] = output.numpy()
        for step in STEPS:
            if f"{name}.{step}" in names:
                values[f"{name}.{step}"] = getattr(observer.steps, step).numpy()

    with ExitStack() as stack, torch.no_grad():
        for name, module in encoder.double().named_modules():
            if name in names:
                stack.callback(module.register_forward_hook(partial(keep, name)).remove)
        stack.enter_context(observer)
        sentence, _ = encoder(*(torch.from_numpy(np.ascontiguousarray(feed[name])) for name in INPUTS))
    return values | {SENTENCE_EMBEDDING: sentence.numpy()}
