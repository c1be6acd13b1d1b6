"""The networks that compute a padded batch for ``lam_core``."""

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from ....contract import INPUTS, SENTENCE_EMBEDDING


class Network(Protocol):
    """Computes embeddings ``[B, hidden]`` float32 of a padded batch."""

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Compute a batch, ``[B, L]`` int64 both. Raises whatever the runtime raises."""

    def max_batch(self, tokens: int) -> int | None:
        """How many texts of this many tokens it takes at once; None: no limit."""


def network_of(parameters: dict[str, str], folder: Path) -> Network:
    """The network that computes for ``lam_core``.

    Args:
        parameters: ``network`` names the model to ask, and ``profiles`` describes the plan that this model runs.
            Without ``network``, the runtime ``engine`` computes in this process, in ``precision``, with ``threads``.
        folder: holds the graph.
    """
    model = parameters.get("network")
    if model is None:
        module = import_module(f".....runtimes.{parameters['engine'].replace('-', '_')}.network", __name__)
        threads = int(parameters["threads"]) or None
        loaded: Network = module.load(folder, parameters["precision"], threads, int(parameters["workers"]))
        return loaded
    if "profiles" in parameters:
        return PlanModel(model, parameters["profiles"], int(parameters["pad_token_id"]))
    return AskedModel(model)


class AskedModel:
    """Another model of the same server, in another backend."""

    def __init__(self, name: str) -> None:
        self._name = name

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        import triton_python_backend_utils as pb_utils

        inputs = zip(INPUTS, (input_ids, attention_mask), strict=True)
        request = pb_utils.InferenceRequest(
            model_name=self._name,
            requested_output_names=[SENTENCE_EMBEDDING],
            inputs=[pb_utils.Tensor(name, values) for name, values in inputs],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(response.error().message())
        vectors: np.ndarray = pb_utils.get_output_tensor_by_name(response, SENTENCE_EMBEDDING).as_numpy()
        return vectors

    def max_batch(self, tokens: int) -> int | None:
        return None


class PlanModel(AskedModel):
    """Another model that runs a TensorRT plan. Its batches are padded to a few shapes within the plan's profiles."""

    def __init__(self, name: str, profiles: str, pad_token_id: int) -> None:
        super().__init__(name)
        self._profiles: list[Any] = json.loads(profiles, object_hook=lambda fields: SimpleNamespace(**fields))
        self._pad_token_id = pad_token_id

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        from ....embedding.batching import pad_to
        from ....runtimes.tensorrt.plans import choose_profile, padded_shape

        rows, tokens = input_ids.shape
        profile = self._profiles[choose_profile(self._profiles, rows, tokens)]
        shape = padded_shape(profile, rows, tokens)
        return super().run(*pad_to(input_ids, attention_mask, shape, self._pad_token_id))[:rows]

    def max_batch(self, tokens: int) -> int | None:
        return max(profile.batch.max for profile in self._profiles if tokens <= profile.tokens.max)
