"""What computes a padded batch for ``lam_core``."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"


class Network(Protocol):
    """A padded batch, ``input_ids`` and ``attention_mask`` ``[B, L]`` int64, to embeddings ``[B, hidden]`` float32."""

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Raises whatever the runtime raises."""

    def max_batch(self, tokens: int) -> int | None:
        """How many texts of so many tokens it takes at once; None: any number."""


def network_of(parameters: dict[str, str], folder: Path) -> Network:
    """The network that the parameters of ``lam_core`` name, with its files in ``folder``."""
    if parameters["network"] == "onnxruntime":
        # One thread of the network's is the worker's own: together as many as there are processors.
        threads = int(parameters["threads"]) or max(1, processors() + 1 - int(parameters["workers"]))
        return OnnxRuntimeNetwork(folder / "model.onnx", threads)
    if "profiles" in parameters:
        return PlanModel(parameters["network"], parameters["profiles"], int(parameters["pad_token_id"]))
    return ServedModel(parameters["network"])


def processors() -> int:
    """How many this process may use; of a container, its share (the second version of Linux's control groups)."""
    most = len(os.sched_getaffinity(0))
    try:
        share, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(most, round(int(share) / int(period))))
    except (OSError, ValueError):  # no such file, or no limit: "max"
        return most


class OnnxRuntimeNetwork:
    """ONNX Runtime in this process, on the CPU."""

    def __init__(self, graph: Path, threads: int) -> None:
        # ONNX Runtime 1.29 and newer send reports of use to Microsoft; this must be set when it is imported.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Plans of memory are kept for every shape ever seen; lengths vary without end.
        options.enable_mem_pattern = False
        options.intra_op_num_threads = threads
        # Threads that spin while they wait take the processors from the server and the tokenizer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        feed = dict(zip(_INPUTS, (input_ids, attention_mask), strict=True))
        vectors: np.ndarray = self._session.run([_OUTPUT], feed)[0]
        return vectors

    def max_batch(self, tokens: int) -> int | None:
        return None


class ServedModel:
    """Another model of the same server, in a backend of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        import triton_python_backend_utils as pb_utils

        inputs = zip(_INPUTS, (input_ids, attention_mask), strict=True)
        request = pb_utils.InferenceRequest(
            model_name=self._name,
            requested_output_names=[_OUTPUT],
            inputs=[pb_utils.Tensor(name, values) for name, values in inputs],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(response.error().message())
        vectors: np.ndarray = pb_utils.get_output_tensor_by_name(response, _OUTPUT).as_numpy()
        return vectors

    def max_batch(self, tokens: int) -> int | None:
        return None


class PlanModel(ServedModel):
    """A TensorRT plan in that other model: its batches are padded to few shapes, within its profiles."""

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
