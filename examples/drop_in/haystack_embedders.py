"""A bundle as Haystack's embedders, in this process: pip install haystack-ai '.[cpu]'."""

from dataclasses import replace

from haystack import Document, component, default_from_dict, default_to_dict

from lam_engines import load_engine


class _Lam:
    def __init__(self, bundle: str, precision: str | None = None) -> None:
        self.bundle, self.precision = bundle, precision
        self.engine = None

    def warm_up(self) -> None:
        self.engine = self.engine or load_engine(self.bundle, precision=self.precision)

    def vectors(self, texts: list[str]) -> list[list[float]]:
        self.warm_up()
        return self.engine.embed(texts).tolist()

    def to_dict(self) -> dict[str, object]:
        return default_to_dict(self, bundle=self.bundle, precision=self.precision)

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> "_Lam":
        return default_from_dict(cls, data)


@component
class LamTextEmbedder(_Lam):
    """Embeds a query."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        return {"embedding": self.vectors([text])[0]}


@component
class LamDocumentEmbedder(_Lam):
    """Embeds documents. One without a text counts as empty."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        vectors = self.vectors([document.content or "" for document in documents])
        return {"documents": [replace(d, embedding=v) for d, v in zip(documents, vectors, strict=True)]}
