"""The little of CUDA's runtime that an engine needs: memory, one stream, graphs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import EngineError


def library() -> Any:
    """The module ``cuda.bindings.runtime``.

    Raises:
        EngineError: it is not installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError:
        raise EngineError("cuda-bindings is not installed; run: pip install 'lam-export[tensorrt]'") from None
    return runtime


def compute_capability() -> str:
    """Of the first GPU that CUDA shows, as 9.0.

    Raises:
        EngineError: there is no GPU, or no driver that the library can use.
    """
    cuda = library()
    try:
        major, minor = (
            _value(cuda, cuda.cudaDeviceGetAttribute(attribute, 0))
            for attribute in (
                cuda.cudaDeviceAttr.cudaDevAttrComputeCapabilityMajor,
                cuda.cudaDeviceAttr.cudaDevAttrComputeCapabilityMinor,
            )
        )
    except EngineError as error:
        raise EngineError(
            f"expected a GPU for the engine tensorrt, found none that CUDA can use ({error}); see nvidia-smi, or use "
            f"another engine"
        ) from None
    return f"{major}.{minor}"


class Stream:
    """A CUDA stream and the device memory that its work uses. For one thread at a time."""

    def __init__(self) -> None:
        self._cuda = library()
        self._stream = self._call(self._cuda.cudaStreamCreateWithFlags, self._cuda.cudaStreamNonBlocking)
        self._buffers: dict[str, tuple[int, int]] = {}

    @property
    def handle(self) -> int:
        """The stream's address, as TensorRT takes it."""
        return int(self._stream)

    def buffer(self, name: str) -> tuple[int, int]:
        """A buffer's address and its bytes."""
        return self._buffers[name]

    def too_small(self, sizes: Mapping[str, int]) -> list[str]:
        """Those buffers that are not there, or hold fewer bytes than these."""
        return [name for name, size in sizes.items() if self._buffers.get(name, (0, 0))[1] < size]

    def reserve(self, sizes: Mapping[str, int]) -> None:
        """Make every buffer hold at least so many bytes. One that grows moves, and loses what it held.

        Raises:
            EngineError: the GPU's memory does not suffice.
        """
        for name in self.too_small(sizes):
            address, _ = self._buffers.pop(name, (0, 0))
            if address:
                self._call(self._cuda.cudaFree, address)
            self._buffers[name] = self._call(self._cuda.cudaMalloc, sizes[name]), sizes[name]

    def upload(self, name: str, array: np.ndarray) -> None:
        """Copy a contiguous array to the beginning of a buffer, which must not change before :meth:`wait`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        address, _ = self._buffers[name]
        self._call(self._cuda.cudaMemcpyAsync, address, array.ctypes.data, array.nbytes, kind, self._stream)

    def download(self, name: str, array: np.ndarray) -> None:
        """Fill a contiguous array from the beginning of a buffer, done by :meth:`wait`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        address, _ = self._buffers[name]
        self._call(self._cuda.cudaMemcpyAsync, array.ctypes.data, address, array.nbytes, kind, self._stream)

    def wait(self) -> None:
        """Until all work is done.

        Raises:
            EngineError: some of it failed.
        """
        self._call(self._cuda.cudaStreamSynchronize, self._stream)

    def capture(self, work: Callable[[], bool]) -> Any:
        """The kernels that ``work`` puts on the stream, as a graph to :meth:`launch`; they are not run.

        ``work`` returns whether it succeeded. None if it did not, or did what no graph can hold.
        """
        cuda = self._cuda
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(cuda.cudaStreamBeginCapture, self._stream, mode)
        succeeded = False
        try:
            succeeded = work()
        finally:
            error, graph = cuda.cudaStreamEndCapture(self._stream)
        if int(error) != 0:
            cuda.cudaGetLastError()  # the next call would report it
            return None
        try:
            return self._call(cuda.cudaGraphInstantiate, graph, 0) if succeeded else None
        finally:
            self._call(cuda.cudaGraphDestroy, graph)

    def launch(self, graph: Any) -> None:
        """Put a captured graph on the stream."""
        self._call(self._cuda.cudaGraphLaunch, graph, self._stream)

    def forget(self, graph: Any) -> None:
        """Give back a graph that will not be launched again."""
        self._cuda.cudaGraphExecDestroy(graph)

    def close(self) -> None:
        """Give back the buffers and the stream. After a kernel that failed this fails too, which is no news."""
        for address, _ in self._buffers.values():
            self._cuda.cudaFree(address)
        self._buffers.clear()
        self._cuda.cudaStreamDestroy(self._stream)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return _value(self._cuda, function(*arguments))


def _value(cuda: Any, result: tuple[Any, ...]) -> Any:
    """What a call returned beside its status, which must be success."""
    error, *values = result
    if int(error) != 0:
        raise EngineError(f"CUDA failed: {cuda.cudaGetErrorString(error)[1].decode()}")
    return values[0] if values else None
