"""A bundle as a model of mteb, the benchmark of embeddings, in any engine and precision."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import load_engine
from .runtimes.registry import DEFAULT


class LamEncoder:
    """Satisfies mteb's ``EncoderProtocol``.

    Example:
        ```python
        import mteb
        from lam_engines.mteb import LamEncoder

        encoder = LamEncoder("my-model", precision="int8")
        mteb.evaluate(encoder, mteb.get_tasks(["STSBenchmark"]))
        ```
    """

    def __init__(
        self,
        model_name: str,
        revision: str | None = None,
        *,
        device: str | None = None,
        engine: str = DEFAULT,
        precision: str | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> None:
        """Load a bundle.

        Args:
            model_name: the bundle's folder.
            revision: taken for mteb's sake; a bundle has none but its manifest's hash.
            device, engine, precision, threads: as for :func:`load_engine`.
            options: what else mteb passes; not used.

        Raises:
            BundleError: the bundle is missing or broken, or has no file that this engine runs.
            EngineError: the runtime is not installed, or has no such option.
        """
        self.engine = load_engine(model_name, engine, precision=precision, device=device, threads=threads)

    @property
    def mteb_model_meta(self) -> Any:
        """What mteb writes beside the scores: the bundle's name, and the hash of its manifest as the revision."""
        from mteb.models.model_meta import ModelMeta

        bundle = self.engine.bundle
        name = f"lam/{bundle.path.resolve().name}"
        return ModelMeta.create_empty({"name": name, "revision": bundle.manifest_sha256})

    def encode(self, inputs: Iterable[Mapping[str, Any]], **options: Any) -> np.ndarray:
        """Embed all texts.

        Args:
            inputs: batches of mteb, each with a list of texts under ``text``.
            options: the task, the split and what else mteb passes. No LAM has prompts, so none of them matters.

        Returns:
            ``[texts, hidden]`` float32, of unit length.
        """
        return self.engine.embed([text for batch in inputs for text in batch["text"]])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """Cosines of all rows of ``[n, hidden]`` with all of ``[m, hidden]``: ``[n, m]``."""
        return np.atleast_2d(np.asarray(embeddings1)) @ np.atleast_2d(np.asarray(embeddings2)).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """Cosines of the rows of two arrays ``[n, hidden]``, pair by pair: ``[n]``."""
        found: np.ndarray = (np.asarray(embeddings1) * np.asarray(embeddings2)).sum(axis=-1)
        return found
