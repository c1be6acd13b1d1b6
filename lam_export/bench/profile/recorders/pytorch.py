"""Time of the reference in PyTorch, from torch.profiler, on a GPU if there is one and else on the CPU."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from lam_engines.silence import silent
from lam_export.anatomy.parts import Part, Place, layer_of, place_of_module

from .samples import Run, Sample

if TYPE_CHECKING:
    from torch import Tensor
    from torch.autograd.profiler_util import FunctionEvent

    from lam_export.model.encoder import Encoder

_RUN, _MODULE = "lam.run", "lam.module:"
_OPERATORS = "lam::"
_NORMS = frozenset(f"aten::{name}" for name in ("linalg_vector_norm", "clamp_min", "div", "square", "mean", "rsqrt"))


class PyTorchRecorder:
    """The encoder on a device, with a mark around each module."""

    def __init__(self, encoder: "Encoder", device: str, threads: int) -> None:
        """Move the encoder to the device.

        Args:
            encoder: the encoder in float32. It is moved in place.
            device: ``cpu`` or ``cuda``.
            threads: number of CPU threads.
        """
        import torch

        torch.set_num_threads(threads)
        self.device = device
        self._encoder = encoder.to(device)
        self._records: list[list[FunctionEvent]] = []

    def plain(self, input_ids: np.ndarray) -> np.ndarray:
        """Embed ``[B, L]`` int64 to ``[B, hidden]`` without a profiler."""
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(input_ids).to(self.device)
            vectors: Tensor = self._encoder(ids, torch.ones_like(ids))[0]
            return vectors.cpu().numpy()  # waits for the GPU

    def record(self, input_ids: np.ndarray) -> np.ndarray:
        """Embed as :meth:`plain` does, and record the run."""
        from torch.profiler import ProfilerActivity, profile, record_function

        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (self.device == "cuda")
        profiler = profile(activities=activities, record_shapes=True, acc_events=True)
        with _marked(self._encoder):
            with silent():  # the profiler's library writes
                profiler.start()
            with record_function(_RUN):
                vectors = self.plain(input_ids)
            with silent():
                profiler.stop()
        self._records.append(list(profiler.events()))
        return vectors

    def runs(self) -> list[Run]:
        """All recorded runs."""
        channels = 3 * self._encoder.config.hidden_size
        return [_run(record, cuda=self.device == "cuda", channels=channels) for record in self._records]


class _marked(ExitStack):  # noqa: N801  (used as a function)
    """While it is entered, each module's work is marked in the profiler's record."""

    def __init__(self, encoder: "Encoder") -> None:
        super().__init__()
        from torch.profiler import record_function

        for name, module in encoder.named_modules():
            marks: list[Any] = []

            def enter(module: Any, inputs: Any, name: str = name, marks: list[Any] = marks) -> None:
                marks.append(record_function(_MODULE + name))
                marks[-1].__enter__()

            def leave(module: Any, inputs: Any, output: Any, marks: list[Any] = marks) -> None:
                marks.pop().__exit__(None, None, None)

            self.callback(module.register_forward_pre_hook(enter).remove)
            self.callback(module.register_forward_hook(leave).remove)


def _run(events: "list[FunctionEvent]", *, cuda: bool, channels: int) -> Run:
    whole = next(event for event in events if event.name == _RUN)
    samples: list[Sample] = []
    for event in events:
        took = event.self_device_time_total if cuda else event.self_cpu_time_total
        above = list(_above(event))
        if took and any(parent is whole for parent in above) and not event.name.startswith(_MODULE):
            place = _place(event, above, channels, cuda=cuda)
            samples.append(Sample(f"{len(samples)} {event.name}", event.name, place, took / 1e6))
    return Run(whole.cpu_time_total / 1e6, tuple(samples))


def _above(event: "FunctionEvent") -> "Iterator[FunctionEvent]":
    parent = event.cpu_parent
    while parent is not None:
        yield parent
        parent = parent.cpu_parent


def _place(event: "FunctionEvent", above: "Iterable[FunctionEvent]", channels: int, *, cuda: bool) -> Place:
    """The place of an event: its innermost module's, or in the fused operator that of its kind of work."""
    path = [event, *above]
    names = [found.name for found in path]
    module = next((name.removeprefix(_MODULE) for name in names if name.startswith(_MODULE)), "")
    layer = layer_of(module)
    called = next((i for i, name in enumerate(names) if name.startswith(_OPERATORS)), None)
    if called is not None:
        inside = path[:called]
        kernel: Part = "operator" if cuda else "runtime"  # on a CPU only the call itself is outside of all operations
        return Place(_fused_part(inside, channels) if inside else kernel, layer)
    if place := place_of_module(module):
        return place
    if layer is not None:
        return Place("FFN" if "aten::gelu" in names else "norms", layer)  # "norms" takes the residual sum
    return Place("pooling")


def _fused_part(path: "list[FunctionEvent]", channels: int) -> Part:
    """The part of an operation inside the fused operator in plain PyTorch, by its kind and width."""
    names = {event.name for event in path}
    if "aten::sigmoid" in names:
        return "gates"
    if "aten::silu" in names or any(_width(event) == channels for event in path):
        return "convolutions"
    return "norms" if names & _NORMS else "rule"


def _width(event: "FunctionEvent") -> int | None:
    """The width of the rows of an event's first input; None without shapes."""
    shapes: Any = event.input_shapes
    return shapes[0][-1] if shapes and shapes[0] else None
