"""The registry of runtimes. Only this file compares their names.

A runtime is a folder beside this file, named after the runtime, with ``_`` for ``-``. Its ``runtime.py`` defines
``RUNTIME``, and imports neither the runtime itself nor numpy, because every command's help lists all runtimes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from numbers import Integral
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, ClassVar

from .. import runtimes as _folders
from ..contract import MOST_THREADS
from ..errors import BundleError, EngineError, LamError

if TYPE_CHECKING:
    import numpy as np

    from ..bundles.bundle import Bundle
    from ..embedding.engine import EmbeddingEngine
    from .portable import Portable

AUTO = "auto"
"""Stands for the fastest runtime; see :func:`choose`."""
DEFAULT = AUTO
"""The engine where the user names none."""
REFERENCE = "onnxruntime"
"""The runtime that runs every graph on any machine, with all its values. Proofs begin with it."""


class Runtime(ABC):
    """What a runtime declares of itself."""

    name: ClassVar[str]
    """Its folder's name, with ``-`` for ``_``. Users type it."""
    title: ClassVar[str]
    """Its name in tables, such as ``ONNX Runtime``."""
    precisions: ClassVar[tuple[str, ...]]
    """Precisions that it can run, the default first."""
    devices: ClassVar[tuple[str, ...]]
    """Devices that it can use: ``cpu`` or ``cuda``, the default first."""
    takes_threads: ClassVar[bool] = True
    """Whether the user can choose its number of CPU threads."""
    shows_inner_values: ClassVar[bool] = False
    """Whether it can return the inner values of a graph, not only its outputs."""

    @abstractmethod
    def version(self) -> str:
        """The installed version, such as ``1.31.1``.

        Raises:
            EngineError: it is not installed, or this version cannot be used. The message says what to install.
        """

    @abstractmethod
    def precisions_of(self, bundle: "Bundle") -> tuple[str, ...]:
        """The precisions of a bundle that it could run, judged by the bundle's manifest alone."""

    @abstractmethod
    def file_of(self, bundle: "Bundle", precision: str) -> str:
        """The name of the bundle's file that it runs on this machine.

        Raises:
            BundleError: the bundle has no file for this precision and this machine.
            EngineError: the file depends on the runtime or its device, and that is missing here.
        """

    @abstractmethod
    def open(self, bundle: "Bundle", precision: str, device: str, threads: int | None) -> "EmbeddingEngine":
        """Load a bundle. The options have been checked.

        Raises:
            BundleError: the file is missing, was altered, or cannot be loaded.
            EngineError: the runtime or the device is missing.
        """

    def portable(self, bundle: "Bundle", precision: str) -> "Portable | None":
        """What runs a bundle on a CPU in another server's processes; None: nothing does.

        Raises:
            LamError: as for :meth:`file_of`.
        """
        return None

    def run_graph(
        self, graph: Path, threads: int | None, precision: str = "fp32"
    ) -> "Callable[[np.ndarray, np.ndarray], np.ndarray]":
        """Load any ONNX file on the CPU, with the same options as a bundle's graph.

        Args:
            graph: a file with the inputs and the output of an encoder's graph.
            threads: CPU threads; if left out, the runtime's default.
            precision: one of :attr:`precisions` that needs no other file.

        Returns:
            A function that takes ``input_ids`` and ``attention_mask``, int64 ``[B, L]``, and returns float32
            ``[B, hidden]``.

        Raises:
            EngineError: the runtime is missing, or cannot run ONNX files.
        """
        raise EngineError(f"expected a runtime that runs ONNX files, found {self.name}; choose another engine")

    def here(self, device: str) -> str:
        """The package that would run on a device of this machine, and its version, such as ``onnxruntime 1.31.1``.

        Raises:
            EngineError: nothing can run there. The message says why, and what to do.
        """
        return f"{self.name} {self.version()}"

    def variant(self, bundle: "Bundle") -> str:
        """How it runs a bundle in a special way, for tables, such as ``native operator``; usually empty."""
        return ""

    def speed(self, bundle: "Bundle") -> tuple[int, str]:
        """How it ranks on a CPU by measurement, the fastest highest; and what keeps it from being faster, if anything.

        The engine ``auto`` chooses by it. Zero: only for a precision or a device that no other has.
        """
        return 0, ""

    def fingerprint(self, bundle: "Bundle", precision: str, device: str) -> tuple[str, ...]:
        """Everything besides the text that decides an embedding. Cached results count only for the same fingerprint.

        It holds versions, the file's hash, and the processor or GPU, because a runtime chooses kernels by it.

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
            threads: CPU threads; if left out, the runtime's default.

        Raises:
            BundleError: the file is missing, was altered, or cannot be loaded.
            EngineError: the runtime or the device is missing, or an option is invalid.
        """
        precision = self._choice("precision", precision, self.precisions)
        device = self._choice("device", device, self.devices)
        if threads is not None and not self.takes_threads:
            raise EngineError(f"expected no threads with the engine {self.name}, which runs on a GPU, found {threads}")
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, Integral)):
            raise EngineError(f"expected threads as a whole number, found {threads!r}; leave it out for one per core")
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise EngineError(f"expected 1 to {MOST_THREADS} threads, found {threads}; leave it out for one per core")
        engine = self.open(bundle, precision, device, None if threads is None else int(threads))
        options = (self.name, precision, device, threads)
        engine.again = load_again, (bundle.path.absolute(), bundle.manifest_sha256, *options)
        return engine

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


@dataclass(frozen=True)
class Choice:
    """The runtime that runs a bundle."""

    runtime: Runtime
    why: str = ""
    """Why it is not a faster one, and what to do; empty if it is the fastest or was named."""

    def said(self, bundle: "Bundle") -> str:
        """It in a line for users, such as ``OpenVINO with the native operator``."""
        chosen = " with the ".join(filter(None, (self.runtime.title, self.runtime.variant(bundle))))
        return chosen + (f" ({self.why})" if self.why else "")


def choose(engine: str, bundle: "Bundle", precision: str | None = None, device: str | None = None) -> Choice:
    """The runtime with that name; for ``auto``, the fastest that runs a bundle on this machine.

    Args:
        engine: a runtime's name, or ``auto``.
        bundle: an open bundle.
        precision: what ``auto`` must run; ``fp32`` if left out.
        device: what ``auto`` must run on; ``cpu`` if left out.

    Raises:
        EngineError: there is no such runtime, or none with that precision and device.
    """
    if engine != AUTO:
        return Choice(runtime(engine))
    precision, device = precision or "fp32", device or default_device(AUTO)
    able = [known for known in all_runtimes() if precision in known.precisions and device in known.devices]
    if not able:
        there = ", ".join(f"{r.name} {'/'.join(r.precisions)} on {'/'.join(r.devices)}" for r in all_runtimes())
        raise EngineError(
            f"expected an engine that runs {precision} on the device {device}, found none; there are {there}"
        )
    ranked = sorted(able, key=lambda known: -known.speed(bundle)[0])
    # If none runs, the first says why when it is loaded.
    best = next((known for known in ranked if precision in known.runs(bundle)), ranked[0])
    passed = [known for known in able if known is not best and known.speed(bundle)[1]]
    return Choice(best, "; ".join(f"{known.title}: {known.speed(bundle)[1]}" for known in passed))


def default_device(engine: str) -> str:
    """The device of an engine that the user may type, where the user names none.

    Raises:
        EngineError: there is no such engine.
    """
    return "cpu" if engine == AUTO else runtime(engine).devices[0]


def names() -> tuple[str, ...]:
    """The names of all runtimes, the reference first."""
    found = sorted(module.name.replace("_", "-") for module in iter_modules(_folders.__path__) if module.ispkg)
    return tuple(sorted(found, key=lambda name: name != REFERENCE))


def engines() -> tuple[str, ...]:
    """What users may type for an engine: ``auto`` and the names of all runtimes."""
    return AUTO, *names()


def runtime(name: str) -> Runtime:
    """The runtime with that name.

    Raises:
        EngineError: there is no such runtime.
    """
    if name not in names():
        raise EngineError(f"expected engine {one_of(engines())}, found {name!r}")
    found: Runtime = import_module(f"{_folders.__name__}.{name.replace('-', '_')}.runtime").RUNTIME
    return found


def load_again(
    path: Path, manifest_sha256: str, name: str, precision: str, device: str, threads: int | None
) -> "EmbeddingEngine":
    """Load the engine that was pickled.

    Raises:
        BundleError: the bundle is not there, or is another one now.
        LamError: as for :meth:`Runtime.load`.
    """
    from ..bundles.bundle import Bundle

    bundle = Bundle(path)
    if bundle.manifest_sha256 != manifest_sha256:
        raise BundleError(f"expected the bundle of the pickled engine at {path}, found another; load it: load_engine")
    return runtime(name).load(bundle, precision=precision, device=device, threads=threads)


def all_runtimes() -> tuple[Runtime, ...]:
    """All runtimes, the reference first."""
    return tuple(map(runtime, names()))


def precisions() -> tuple[str, ...]:
    """All precisions that some runtime can run, those of the reference first."""
    return tuple(dict.fromkeys(precision for known in all_runtimes() for precision in known.precisions))


def one_of(known: Sequence[str]) -> str:
    """The names joined for a sentence: ``a, b or c``."""
    return " or ".join(filter(None, (", ".join(known[:-1]), known[-1])))
