"""A bundle as LangChain's embeddings, in this process: pip install langchain-core '.[cpu]'."""

from langchain_core.embeddings import Embeddings

from lam_engines import load_engine


class LamEmbeddings(Embeddings):
    """Takes what ``load_engine`` takes: ``LamEmbeddings("my-model", precision="int8")``."""

    def __init__(self, bundle: str, **options: object) -> None:
        self.engine = load_engine(bundle, **options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.engine.embed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]
