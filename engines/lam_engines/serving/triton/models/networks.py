"""The networks that compute a padded batch for ``lam_core``."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from ....contract import INPUTS, MODEL, SENTENCE_EMBEDDING
from ....machine import processors
from ....telemetry import disable_telemetry


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
            Without ``network``, ONNX Runtime computes in this process with ``threads``.
        folder: holds the graph.
    """
    model = parameters.get("network")
    if model is None:
        # A worker's own thread is one of the network's: workers and threads together use every processor.
        threads = int(parameters["threads"]) or max(1, processors() + 1 - int(parameters["workers"]))
        return OnnxRuntimeNetwork(folder / MODEL, threads)
    if "profiles" in parameters:
        return PlanModel(model, parameters["profiles"], int(parameters["pad_token_id"]))
    return AskedModel(model)


class OnnxRuntimeNetwork:
    """ONNX Runtime in this process, on the CPU."""

    def __init__(self, graph: Path, threads: int) -> None:
        disable_telemetry()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # ONNX Runtime would keep a plan of memory for every shape that it has seen, and lengths vary without end.
        options.enable_mem_pattern = False
        options.intra_op_num_threads = threads
        # Threads that spin while they wait would take processor time from the server and the tokenizer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        feed = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        vectors: np.ndarray = self._session.run([SENTENCE_EMBEDDING], feed)[0]
        return vectors

    def max_batch(self, tokens: int) -> int | None:
        return None


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
