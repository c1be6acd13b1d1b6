"""A bundle as LlamaIndex's embedding model, in this process: pip install llama-index-core '.[cpu]'."""

from llama_index.core.embeddings import BaseEmbedding
from pydantic import PrivateAttr

from lam_engines import load_engine


class LamEmbedding(BaseEmbedding):
    """Takes what ``load_engine`` takes: ``LamEmbedding("my-model", precision="int8")``."""

    _engine: object = PrivateAttr()

    def __init__(self, bundle: str, **options: object) -> None:
        super().__init__(model_name=bundle)
        self._engine = load_engine(bundle, **options)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._engine.embed(texts).tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)
