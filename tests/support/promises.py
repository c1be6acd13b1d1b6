"""The ways to run a bundle that the contract suite goes through, and what it asks each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cpp_library import Library, LoadError

from lam_engines import BundleError, InputError, load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import MODEL
from lam_engines.embedding.batching import pad
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.registry import all_runtimes, runtime

ODD_LENGTHS = (1, 2, 3, 16, 31, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300, 512, 513, 600, 1000, 2000)
"""Around the chunk of 128 tokens and its multiples, and where kernels have their edges."""
AGREES = {"fp32": 2e-5, "fp16": 2e-3, "bf16": 4e-2, "int8": 5e-2}
"""How far an element may be off the reference in float64."""
ITSELF = {"fp32": 1e-5, "fp16": 1e-3, "bf16": 1e-2, "int8": 1.5e-2}
"""How far an element may be off that of the same text in other surroundings."""
OPERATORS_ITSELF = 2e-6
"""The same in fp32 with the native operators, which sum in one order whatever the batch."""


@dataclass(frozen=True)
class Way:
    """One way to run a bundle."""

    name: str
    precision: str
    kind: str = "registry"
    """``registry``; ``operators``: with the library of native operators; ``c++``: the C++ library."""

    @property
    def itself(self) -> float:
        """How far an element may be off that of the same text in other surroundings."""
        return OPERATORS_ITSELF if (self.kind, self.precision) == ("operators", "fp32") else ITSELF[self.precision]

    def __str__(self) -> str:
        return f"{self.name}-{self.precision}" + "-operators" * (self.kind == "operators")


REGISTERED = [
    *(Way(runtime.name, precision) for runtime in all_runtimes() for precision in runtime.precisions),
    Way("openvino", "fp32", "operators"),
    Way("openvino", "bf16", "operators"),
]
EVERY_WAY = [*REGISTERED, Way("c++", "fp32", "c++")]


class CppLibrary:
    """What the promises ask of the C++ library, in the words of :class:`EmbeddingEngine`."""

    def __init__(self, build: Path, bundle: Path, threads: int | None = None) -> None:
        try:
            self.library = Library(build, bundle, threads or 0)
        except LoadError as error:
            status, said = error.args
            assert status == Library.BUNDLE_ERROR, said
            raise BundleError(said) from error

    def embed(self, texts: Sequence[str], *, batch_tokens: int = 0) -> np.ndarray:
        # A lone surrogate cannot be written in UTF-8; Python's engines take it for the replacement character.
        whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
        return self._checked(self.library.embed([text.encode() for text in whole], batch_tokens))

    def embed_ids(self, input_ids: np.ndarray, attention_mask: np.ndarray | None = None) -> np.ndarray:
        mask = np.ones_like(input_ids) if attention_mask is None else attention_mask
        rows = [ids[:n].tolist() for ids, n in zip(input_ids, mask.sum(axis=1), strict=True)]
        return self._checked(self.library.embed_ids(rows))

    @property
    def max_tokens(self) -> int | None:
        return int(self.library.c.lam_engine_max_tokens(self.library.engine)) or None

    def close(self) -> None:
        self.library.close()

    def __enter__(self) -> "CppLibrary":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @staticmethod
    def _checked(answer: tuple[int, str, np.ndarray]) -> np.ndarray:
        status, said, vectors = answer
        if status == Library.INPUT_ERROR:
            raise InputError(said)
        assert (status, said) == (Library.OK, "")
        return vectors


Engine = EmbeddingEngine | CppLibrary


@dataclass(frozen=True)
class Opener:
    """Loads the bundle in one way."""

    way: Way
    bundle: Path
    build: Path | None

    @property
    def takes_threads(self) -> bool:
        return self.way.kind == "c++" or runtime(self.way.name).takes_threads

    def file_of(self, bundle: Path) -> str:
        """The file of a bundle that is run."""
        return MODEL if self.way.kind == "c++" else runtime(self.way.name).file_of(Bundle(bundle), self.way.precision)

    def __call__(self, bundle: Path | None = None, threads: int | None = None) -> Engine:
        path = bundle or self.bundle
        if self.build is not None and self.way.kind == "c++":
            return CppLibrary(self.build, path, threads)
        return load_engine(path, self.way.name, precision=self.way.precision, threads=threads)


def batch_of(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    """Random ids of texts of these lengths."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 128, length) for length in lengths]


def alone(engine: Engine, rows: Sequence[np.ndarray]) -> np.ndarray:
    """Each text's ids in a batch of its own: ``[n, hidden]``."""
    return np.concatenate([engine.embed_ids(row[None]) for row in rows])


def together(engine: Engine, rows: Sequence[np.ndarray]) -> np.ndarray:
    """All in one batch, padded to the longest."""
    return engine.embed_ids(*pad(list(rows), 0))
