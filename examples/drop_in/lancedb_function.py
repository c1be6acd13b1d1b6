"""A bundle as LanceDB's embedding function, in this process: pip install lancedb '.[cpu]'."""

from functools import cached_property

from lancedb.embeddings import TextEmbeddingFunction, register

from lam_engines import load_engine
from lam_engines.embedding.engine import EmbeddingEngine


@register("lam")
class LamFunction(TextEmbeddingFunction):
    """``get_registry().get("lam").create(bundle="my-model")``; the table remembers the bundle's folder."""

    bundle: str
    precision: str | None = None

    @cached_property
    def _engine(self) -> EmbeddingEngine:
        return load_engine(self.bundle, precision=self.precision)

    def ndims(self) -> int:
        return self._engine.model.hidden_size

    def generate_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._engine.embed(list(texts)).tolist()
