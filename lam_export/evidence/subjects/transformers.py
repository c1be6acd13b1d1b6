"""A transformer for comparison: in a runtime, or in sentence-transformers."""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import ATTENTION_MASK, INPUT_IDS, SENTENCE_EMBEDDING
from lam_engines.errors import LamError
from lam_engines.runtimes import registry
from lam_export.evidence.schema import SubjectInfo
from lam_export.evidence.subject import Subject
from lam_export.evidence.transformer import WEIGHTS, Transformer, silence_transformers

from .function_engine import FunctionEngine
from .pytorch import in_torch

if TYPE_CHECKING:
    import torch


def transformer_in_runtime(
    bundle: Bundle, transformer: Transformer, engine: str, precision: str, graph: Path, *, threads: int
) -> Subject:
    """A transformer's graph in a runtime, with the same options as a bundle's.

    Args:
        bundle: the bundle whose tokenizer is used.
        transformer: the transformer that the graph was exported from.
        engine: the runtime's name.
        precision: ``fp32``, or what the runtime makes of it.
        graph: the file that :func:`~lam_export.evidence.transformer.export_transformer` wrote.
        threads: number of CPU threads.

    Raises:
        LamError: the transformer's vocabulary differs from the bundle's, or the runtime is not installed.
    """
    runtime = registry.runtime(engine)
    load = partial(_graph_engine, bundle.path, engine, graph, precision, threads=threads)
    made_by = f"{runtime.name} {runtime.version()}"
    return _subject(bundle, transformer, runtime.title, made_by, load, truncates=False, precision=precision)


def sentence_transformers_subject(bundle: Bundle, transformer: Transformer, *, threads: int) -> Subject:
    """A transformer in sentence-transformers. The errors are those of :func:`transformer_in_runtime`."""
    package = "sentence-transformers"
    load = partial(SentenceTransformers, bundle.path, transformer.folder, threads=threads)
    return _subject(bundle, transformer, package, f"{package} {version(package)}", load, truncates=True)


def _subject(
    bundle: Bundle,
    transformer: Transformer,
    where: str,
    runtime: str,
    load: Any,
    *,
    truncates: bool,
    precision: str = "fp32",
) -> Subject:
    folder, vocabulary = transformer.folder, bundle.manifest.model.vocab_size
    if transformer.vocab_size != vocabulary:
        raise LamError(
            f"expected a transformer with the bundle's {vocabulary} tokens, found {transformer.vocab_size} in "
            f"{folder}; name another: --transformer FOLDER"
        )
    from lam_export.model.checkpoint import sha256_of

    weights = folder / WEIGHTS
    info = SubjectInfo(
        name=f"{transformer.name} in {where}" + ("" if precision == "fp32" else f" {precision}"),
        model="other",
        precision=precision,  # type: ignore[arg-type]
        runtime=runtime,
        artefact=WEIGHTS,
        sha256=sha256_of(weights),
        bytes=weights.stat().st_size,
    )
    return Subject(info, load, lambda: (info.sha256, info.runtime), transformer=transformer, truncates=truncates)


def _graph_engine(bundle: Path, engine: str, graph: Path, precision: str, *, threads: int) -> FunctionEngine:
    runtime = registry.runtime(engine)
    return FunctionEngine(Bundle(bundle), graph.name, runtime.run_graph(graph, threads, precision), runtime.title)


class SentenceTransformers(FunctionEngine):
    """A folder in sentence-transformers. Texts are batched in the way of sentence-transformers."""

    def __init__(self, bundle: Path, folder: Path, *, threads: int) -> None:
        """Load the model from the folder, without any network access."""
        import torch
        from sentence_transformers import SentenceTransformer

        silence_transformers()
        torch.set_num_threads(threads)
        model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        model.max_seq_length = model[0].auto_model.config.max_position_embeddings
        self._model = model

        def embed(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
            found = model({INPUT_IDS: ids, ATTENTION_MASK: mask})[SENTENCE_EMBEDDING]
            return torch.nn.functional.normalize(found, dim=-1)

        super().__init__(Bundle(bundle), WEIGHTS, partial(in_torch, embed), "sentence-transformers")

    def embed(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        """Call ``encode`` with its defaults: 32 texts in a batch."""
        return self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
