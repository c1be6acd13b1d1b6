"""Who takes part in a benchmark: the bundle in every engine that runs here, and what it is held against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.contract import GRAPHS, MODEL
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import LamError
from lam_engines.runtimes.openvino.engine import graph_of
from lam_engines.runtimes.tensorrt.plans import PRECISIONS, choose_plan

from . import process_memory as memory
from . import rivals
from .metrics import THRESHOLDS, Thresholds
from .references import comparable_bundle
from .schema import EntrantInfo, ShapeInfo
from .transformer import WEIGHTS, Transformer

_TRANSFORMERS = {"onnxruntime": rivals.transformer_onnxruntime, "openvino": rivals.transformer_openvino}
_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "tensorrt": "TensorRT"}


@dataclass(frozen=True)
class Entrant:
    """One that takes part, not loaded yet."""

    info: EntrantInfo
    load: Callable[[], EmbeddingEngine]
    """Picklable: it is called in another process."""
    thresholds: Thresholds | None = None
    """For its embeddings against the reference's; None if they are another model's."""
    transformer: Transformer | None = None
    truncates: bool = False
    """Whether it cuts texts off at its last position."""

    def refusal(self, shape: ShapeInfo) -> str:
        """Why it is not asked to do a piece of work; empty if it is."""
        if self.transformer is None:
            return ""
        if self.truncates and shape.longest > self.transformer.positions:
            return f"cuts texts off at {self.transformer.positions} tokens"
        if shape.kind != "mix":
            needed, left = self.transformer.attention_bytes(shape.texts, shape.longest), memory.available()
            if left is not None and needed > left / 2:
                return f"attention would take {needed / 1e9:,.0f} GB for one layer"
        return ""

    def remark(self, shape: ShapeInfo) -> str:
        """What to know of its figures; mostly nothing."""
        if self.transformer is None or shape.longest <= self.transformer.positions:
            return ""
        return f"cost alone: it knows {self.transformer.positions} positions, and its embedding means nothing"


def engines_here(bundle: Bundle) -> list[tuple[str, str]]:
    """Engine and precision of all that this machine can run of a bundle; ONNX Runtime's fp32 is the first."""
    files = bundle.manifest.files
    found = [("onnxruntime", precision) for precision, graph in GRAPHS.items() if graph in files]
    if find_spec("openvino") is not None and graph_of(bundle) in files:
        found.append(("openvino", "fp32"))
    if bundle.manifest.plans:
        found += [("tensorrt", precision) for precision in PRECISIONS if _has_plan(bundle, precision)]
    return found


def chosen_engines(
    bundle: Bundle, engines: Sequence[str] | None, precisions: Sequence[str] | None
) -> list[tuple[str, str]]:
    """Of :func:`engines_here` those that the user named; all if nothing was named.

    Raises:
        LamError: none is left, or one that was named is not there.
    """
    here = engines_here(bundle)
    chosen = [
        (engine, precision)
        for engine, precision in here
        if (not engines or engine in engines) and (not precisions or precision in precisions)
    ]
    missing = [f"--engine {name}" for name in engines or () if name not in {engine for engine, _ in chosen}]
    missing += [
        f"--precision {name}" for name in precisions or () if name not in {precision for _, precision in chosen}
    ]
    if missing or not chosen:
        there = ", ".join(f"{precision} in {engine}" for engine, precision in here) or "nothing"
        raise LamError(
            f"expected something for {' '.join(missing) or 'an engine'}, found {there} that runs here of "
            f"{bundle.path}; see: lam-export doctor {bundle.path}"
        )
    return chosen


def engine_entrant(bundle: Bundle, engine: str, precision: str, *, threads: int, prefix: str = "") -> Entrant:
    """A bundle in one of the engines that serve it."""
    if engine == "tensorrt":
        from lam_engines.runtimes.tensorrt.engine import environment

        file = choose_plan(bundle, precision, environment())
    else:
        file = graph_of(bundle) if engine == "openvino" else bundle.graph(precision)
    native = engine == "openvino" and file == MODEL
    info = EntrantInfo(
        name=f"{prefix}{_NAMES[engine]} {precision}{', native operator' * native}",
        model="this",
        precision=precision,  # type: ignore[arg-type]
        runtime=_runtime(engine, f"{engine}-gpu"),
        artefact=Path(file).name,
        sha256=bundle.manifest.files[file].sha256,
    )
    on_cpu = None if engine == "tensorrt" else threads
    load = partial(load_engine, bundle.path, engine, precision=precision, threads=on_cpu)
    return Entrant(info, load, thresholds_of(precision))


def other_bundle(bundle: Bundle, path: Path, *, threads: int) -> Entrant:
    """The fp32 graph of another bundle in ONNX Runtime.

    Raises:
        LamError: there is no bundle, or one that reads texts as other tokens.
    """
    other = comparable_bundle(bundle, path)
    entrant = engine_entrant(other, "onnxruntime", "fp32", threads=threads, prefix=f"{path.resolve().name}: ")
    if other.manifest.checkpoint == bundle.manifest.checkpoint and other.manifest.teacher == bundle.manifest.teacher:
        return entrant
    return Entrant(entrant.info.model_copy(update={"model": "other"}), entrant.load)


def pytorch_entrant(
    bundle: Bundle, checkpoint: Path, teacher: Path | None, sha256: str, *, compiled: bool, threads: int
) -> Entrant:
    """The checkpoint in PyTorch, float32; ``sha256`` is that of its weights."""
    info = EntrantInfo(
        name="torch.compile" if compiled else "PyTorch eager",
        model="this",
        precision="fp32",
        runtime=_runtime("torch"),
        artefact=checkpoint.name,
        sha256=sha256,
    )
    load = partial(rivals.pytorch, bundle.path, checkpoint, teacher, compiled=compiled, threads=threads)
    return Entrant(info, load, thresholds_of("fp32"))


def transformer_entrant(
    bundle: Bundle, transformer: Transformer, runtime: str, graph: Path, *, threads: int
) -> Entrant:
    """A transformer in ``onnxruntime`` or ``openvino``, which run a graph of it, or in ``sentence-transformers``.

    Raises:
        LamError: it has another vocabulary than the bundle: it could not be given the same tokens.
    """
    folder, vocabulary = transformer.folder, bundle.manifest.model.vocab_size
    if transformer.vocab_size != vocabulary:
        raise LamError(
            f"expected a transformer of {vocabulary} tokens, as the bundle's, found {transformer.vocab_size} in "
            f"{folder}; name another: --transformer FOLDER"
        )
    info = EntrantInfo(
        name=f"{transformer.name} in {_NAMES.get(runtime, runtime)}",
        model="other",
        precision="fp32",
        runtime=_runtime(runtime, f"{runtime}-gpu"),
        artefact=WEIGHTS,
        sha256=file_entry(folder / WEIGHTS).sha256,
    )
    truncates = runtime == "sentence-transformers"
    load: Callable[[], EmbeddingEngine] = (
        partial(rivals.SentenceTransformers, bundle.path, folder, threads=threads)
        if truncates
        else partial(_TRANSFORMERS[runtime], bundle.path, graph, threads=threads)
    )
    return Entrant(info, load, transformer=transformer, truncates=truncates)


def thresholds_of(precision: str) -> Thresholds:
    """What embeddings of a precision must hold."""
    return THRESHOLDS[precision]


def _has_plan(bundle: Bundle, precision: str) -> bool:
    from lam_engines.runtimes.tensorrt.engine import environment

    try:
        choose_plan(bundle, precision, environment())
    except LamError:
        return False
    return True


def _runtime(*packages: str) -> str:
    for package in packages:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return packages[0]
