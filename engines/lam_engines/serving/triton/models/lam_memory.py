"""``lam_memory``: a memory for each sequence, in Triton's Python backend.

The Python backend has no implicit state, so the model keeps the states itself, by correlation id. It keeps a state from
the first request of a sequence to the last, or until the server has ended the sequence because it was idle. The
parameters are ``heads``, ``head_size``, ``idle_timeout`` (seconds) and ``threads``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from ....contract import MEMORY_MODEL
from ....memories.state import INPUTS, OUTPUTS, PAST, PRESENT, state_shapes, within_range
from ....telemetry import disable_telemetry
from .requests import RequestError, answer, failure, output, parameters_of, refusal


class TritonPythonModel:
    """Stores vectors and answers queries; see :func:`~lam_engines.serving.triton.write_memory_repository`."""

    def initialize(self, args: dict[str, str]) -> None:
        disable_telemetry()
        import onnxruntime

        parameters = parameters_of(args)
        shapes = state_shapes(int(parameters["heads"]), int(parameters["head_size"]))
        self.empty = tuple(np.zeros((1, *shape), np.float32) for shape in shapes)
        self.idle_timeout = float(parameters["idle_timeout"])
        options = onnxruntime.SessionOptions()
        options.enable_mem_pattern = False
        options.intra_op_num_threads = int(parameters["threads"])
        graph = Path(__file__).parents[4] / MEMORY_MODEL
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.memories: dict[Any, _Memory] = {}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests of different sequences. Those with the same number of queries are computed together."""
        self.forget_idle()
        answers: list[Any] = [None] * len(requests)
        groups: dict[int, list[_Step]] = {}
        for place, request in enumerate(requests):
            try:
                step = self.step_of(place, request)
                groups.setdefault(step.inputs[2].shape[1], []).append(step)
            except RequestError as refused:
                answers[place] = refusal(refused)
        for steps in groups.values():
            try:
                found = self.run(steps)
            except Exception as error:
                found = [failure(error)] * len(steps)
            for step, response in zip(steps, found, strict=True):
                answers[step.place] = response
        for request in requests:
            if request.flags() & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END:
                self.memories.pop(request.correlation_id(), None)
        return answers

    def step_of(self, place: int, request: Any) -> "_Step":
        sequence = request.correlation_id()
        if request.flags() & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
            self.memories.pop(sequence, None)  # an idle sequence of this id, which the server has ended
        key, value, query, store = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS)
        finite = np.isfinite(query).all() and (not store.any() or (np.isfinite(key).all() and np.isfinite(value).all()))
        if not finite:
            raise RequestError("expected finite numbers in key, value and query, found NaN or infinity")
        memory = self.memories.setdefault(sequence, _Memory(self.empty, 0.0))
        memory.used = monotonic()
        return _Step(place, memory, (key, value, query, store))

    def run(self, steps: "Sequence[_Step]") -> list[Any]:
        inputs = (np.concatenate(parts) for parts in zip(*(step.inputs for step in steps), strict=True))
        states = (np.concatenate(parts) for parts in zip(*(step.memory.state for step in steps), strict=True))
        feed = dict(zip([*INPUTS, *PAST], [*inputs, *states], strict=True))
        found = self.session.run([*OUTPUTS, *PRESENT], feed)
        return [self.keep(step, [part[row : row + 1] for part in found]) for row, step in enumerate(steps)]

    def keep(self, step: "_Step", found: list[np.ndarray]) -> Any:
        recall, stored, *state = found
        if not within_range(state):
            return refusal(
                RequestError(
                    "expected a state within the range of float32, found one beyond it after this store; store smaller "
                    "vectors, or begin a new sequence"
                )
            )
        step.memory.state = tuple(part.copy() for part in state)  # a view would keep the whole batch
        return answer(output("recall", recall), output("stored", stored))

    def forget_idle(self) -> None:
        """Drop the memories of idle sequences. The server ends them after half this time, and does not tell models."""
        now = monotonic()
        for sequence in [s for s, memory in self.memories.items() if now - memory.used > 2 * self.idle_timeout]:
            del self.memories[sequence]


@dataclass
class _Memory:
    state: tuple[np.ndarray, ...]
    used: float
    """When its last request came, by the monotonic clock."""


@dataclass
class _Step:
    """One request of a sequence."""

    place: int
    """Number of the request among those of the call."""
    memory: _Memory
    inputs: tuple[np.ndarray, ...]
    """Values of ``INPUTS``, each with a batch of one."""
