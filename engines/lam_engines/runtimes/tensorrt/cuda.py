"""The part of CUDA's runtime that an engine needs: memory, one stream, and graphs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import EngineError, installing


def library(extra: str) -> Any:
    """The module ``cuda.bindings.runtime``.

    Args:
        extra: the extra of lam-export that installs it.

    Raises:
        EngineError: it is not installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError:
        raise EngineError(f"cuda-bindings is not installed; run: {installing(extra)}") from None
    return runtime


def compute_capability(engine: str, extra: str) -> str:
    """The compute capability of CUDA's first GPU, such as 9.0.

    Args:
        engine: the engine that asks, for the error message.
        extra: as for :func:`library`.

    Raises:
        EngineError: there is no GPU, or no driver that fits the library.
    """
    cuda = library(extra)
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
            f"expected a GPU for the engine {engine}, found none that CUDA can use ({error}); see nvidia-smi, or use "
            f"another engine"
        ) from None
    return f"{major}.{minor}"


class Stream:
    """A CUDA stream, and the device memory that its work uses. Only one thread at a time may use it."""

    def __init__(self, extra: str) -> None:
        """Make the stream. ``extra`` is as for :func:`library`."""
        self._cuda = library(extra)
        self._stream = self._call(self._cuda.cudaStreamCreateWithFlags, self._cuda.cudaStreamNonBlocking)
        self._buffers: dict[str, tuple[int, int]] = {}

    @property
    def handle(self) -> int:
        """The stream's address, as TensorRT expects it."""
        return int(self._stream)

    def buffer(self, name: str) -> tuple[int, int]:
        """A buffer's address and its size in bytes."""
        return self._buffers[name]

    def too_small(self, sizes: Mapping[str, int]) -> list[str]:
        """The names of the buffers that are missing, or smaller than these sizes in bytes."""
        return [name for name, size in sizes.items() if self._buffers.get(name, (0, 0))[1] < size]

    def reserve(self, sizes: Mapping[str, int]) -> None:
        """Make every buffer hold at least these sizes in bytes. A buffer that grows moves and loses its content.

        Raises:
            EngineError: the GPU's memory is too small.
        """
        for name in self.too_small(sizes):
            address, _ = self._buffers.pop(name, (0, 0))
            if address:
                self._call(self._cuda.cudaFree, address)
            self._buffers[name] = self._call(self._cuda.cudaMalloc, sizes[name]), sizes[name]

    def upload(self, name: str, array: np.ndarray) -> None:
        """Copy a contiguous array to the beginning of a buffer. The array must not change before :meth:`wait`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        address, _ = self._buffers[name]
        self._call(self._cuda.cudaMemcpyAsync, address, array.ctypes.data, array.nbytes, kind, self._stream)

    def download(self, name: str, array: np.ndarray) -> None:
        """Fill a contiguous array from the beginning of a buffer. It is complete after :meth:`wait`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        address, _ = self._buffers[name]
        self._call(self._cuda.cudaMemcpyAsync, array.ctypes.data, address, array.nbytes, kind, self._stream)

    def wait(self) -> None:
        """Wait until all work is done.

        Raises:
            EngineError: some of the work failed.
        """
        self._call(self._cuda.cudaStreamSynchronize, self._stream)

    def capture(self, work: Callable[[], bool]) -> Any:
        """Record the kernels that ``work`` puts on the stream as a graph for :meth:`launch`. They do not run now.

        ``work`` returns whether it succeeded. The result is None if it failed, or did something that a graph cannot
        hold.
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
        """Free a graph that will not be launched again."""
        self._cuda.cudaGraphExecDestroy(graph)

    def close(self) -> None:
        """Free the buffers and the stream. Errors are ignored: after a failed kernel, these calls fail too."""
        for address, _ in self._buffers.values():
            self._cuda.cudaFree(address)
        self._buffers.clear()
        self._cuda.cudaStreamDestroy(self._stream)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return _value(self._cuda, function(*arguments))


def _value(cuda: Any, result: tuple[Any, ...]) -> Any:
    """The value that a CUDA call returned. Its status must be success."""
    error, *values = result
    if int(error) != 0:
        raise EngineError(f"CUDA failed: {cuda.cudaGetErrorString(error)[1].decode()}")
    return values[0] if values else None
