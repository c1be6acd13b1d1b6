"""The registry of runtimes. Nothing else compares the name of one.

A runtime is a folder beside this file. Its ``runtime.py`` defines ``RUNTIME``, and imports neither the runtime itself
nor numpy: a command's help lists all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, ClassVar

from .. import runtimes as _folders
from ..errors import EngineError, LamError

if TYPE_CHECKING:
    import numpy as np

    from ..bundles.bundle import Bundle
    from ..embedding.engine import EmbeddingEngine

DEFAULT = "onnxruntime"
"""The runtime where the user names none."""


class Runtime(ABC):
    """What a runtime declares of itself."""

    name: ClassVar[str]
    """Its folder's name, which users type."""
    title: ClassVar[str]
    """Its name in tables: ``ONNX Runtime``."""
    precisions: ClassVar[tuple[str, ...]]
    """Precisions that it can run, the default first."""
    devices: ClassVar[tuple[str, ...]]
    """``cpu``, ``cuda``; the default first."""
    takes_threads: ClassVar[bool] = True
    """Whether the user can say how many threads of a CPU it uses."""
    shows_inner_values: ClassVar[bool] = False
    """Whether ONNX Runtime computes it, which can show what a graph computes on its way."""

    @abstractmethod
    def version(self) -> str:
        """The installed version, ``1.31.1``.

        Raises:
            EngineError: it is not installed, or this version cannot be used; says what to install.
        """

    @abstractmethod
    def precisions_of(self, bundle: "Bundle") -> tuple[str, ...]:
        """The precisions of a bundle that it can run, as far as the bundle's manifest says."""

    @abstractmethod
    def file_of(self, bundle: "Bundle", precision: str) -> str:
        """The name of the file of a bundle that it runs here.

        Raises:
            BundleError: the bundle has none for this precision and this machine.
            EngineError: the runtime or its device is not here, where that decides the file.
        """

    @abstractmethod
    def open(self, bundle: "Bundle", precision: str, device: str, threads: int | None) -> "EmbeddingEngine":
        """Load a bundle. The options have been checked.

        Raises:
            BundleError: the file is missing, altered, or not one that the runtime can load.
            EngineError: the runtime or the device is not here.
        """

    def run_graph(self, graph: Path, threads: int | None) -> "Callable[[np.ndarray, np.ndarray], np.ndarray]":
        """Any ONNX file on the CPU, with the options that a bundle's graph gets.

        Args:
            graph: with the inputs and the output of an encoder's graph.
            threads: for each operator; the runtime's own choice if left out.

        Returns:
            A function of ``input_ids`` and ``attention_mask``, ``[B, L]`` int64, to ``[B, hidden]`` float32.

        Raises:
            EngineError: the runtime is not here, or runs no ONNX files.
        """
        raise EngineError(f"expected a runtime that runs ONNX files, found {self.name}; choose another engine")

    def here(self, device: str) -> str:
        """What would run on a device of this machine, with its version: ``onnxruntime 1.31.1``.

        Raises:
            EngineError: nothing would; says why, and what to do.
        """
        return f"{self.name} {self.version()}"

    def variant(self, bundle: "Bundle") -> str:
        """What is special in how it runs a bundle, for tables: ``native operator``. Empty if nothing is."""
        return ""

    def fingerprint(self, bundle: "Bundle", precision: str, device: str) -> tuple[str, ...]:
        """All that decides an embedding beside the text: results of another fingerprint are not this one's.

        Versions, the file's hash and the processor, whose name decides which kernels a runtime chooses.

        Raises:
            LamError: as for :meth:`version` and :meth:`file_of`.
        """
        from ..gpu import gpu_name
        from ..machine import processor_name

        entry = bundle.manifest.files[self.file_of(bundle, precision)]
        hardware = processor_name() if device == "cpu" else gpu_name()
        return self.name, self.version(), entry.sha256, precision, device, hardware

    def load(
        self, bundle: "Bundle", *, precision: str | None = None, device: str | None = None, threads: int | None = None
    ) -> "EmbeddingEngine":
        """Check the options, then :meth:`open` the bundle.

        Args:
            bundle: an open bundle.
            precision: one of :attr:`precisions`; the first if left out.
            device: one of :attr:`devices`; the first if left out.
            threads: of a CPU, for each operator; the runtime's own choice if left out.

        Raises:
            BundleError: the file is missing, altered, or not one that the runtime can load.
            EngineError: the runtime or the device is not here, or there is no such option.
        """
        precision = self._choice("precision", precision, self.precisions)
        device = self._choice("device", device, self.devices)
        if threads is not None and not self.takes_threads:
            raise EngineError(f"expected no threads with the engine {self.name}, which runs on a GPU, found {threads}")
        if threads is not None and threads < 1:
            raise EngineError(f"expected at least 1 thread, found {threads}; leave it out for one per core")
        return self.open(bundle, precision, device, threads)

    def runs(self, bundle: "Bundle") -> tuple[str, ...]:
        """The precisions of a bundle that it can run on this machine."""
        try:
            self.version()
        except EngineError:
            return ()
        return tuple(precision for precision in self.precisions_of(bundle) if self._has_file(bundle, precision))

    def _has_file(self, bundle: "Bundle", precision: str) -> bool:
        try:
            self.file_of(bundle, precision)
        except LamError:
            return False
        return True

    def _choice(self, option: str, found: str | None, known: Sequence[str]) -> str:
        if found is None:
            return known[0]
        if found not in known:
            raise EngineError(
                f"expected {option} {one_of(known)} with the engine {self.name}, found {found!r}; leave it out for "
                f"{known[0]}"
            )
        return found


def names() -> tuple[str, ...]:
    """The names of all runtimes, the default first."""
    found = sorted(module.name for module in iter_modules(_folders.__path__) if module.ispkg)
    return tuple(sorted(found, key=lambda name: name != DEFAULT))


def runtime(name: str) -> Runtime:
    """The runtime of that name.

    Raises:
        EngineError: there is none.
    """
    if name not in names():
        raise EngineError(f"expected engine {one_of(names())}, found {name!r}")
    found: Runtime = import_module(f"{_folders.__name__}.{name}.runtime").RUNTIME
    return found


def all_runtimes() -> tuple[Runtime, ...]:
    """All runtimes, the default first."""
    return tuple(map(runtime, names()))


def one_of(known: Sequence[str]) -> str:
    """``a, b or c``."""
    return " or ".join(filter(None, (", ".join(known[:-1]), known[-1])))
