"""Run by tests in the environment ``light``, with examples/drop_in on the path: HOW BUNDLE TEXTS.json OUTPUT.npy."""

import json
import os
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", ORT_DISABLE_TELEMETRY="1", HAYSTACK_TELEMETRY_ENABLED="False")
import numpy as np

how, bundle, texts_file, output = sys.argv[1:]
with open(texts_file) as file:
    texts = json.load(file)


def langchain() -> list[list[float]]:
    from langchain_core.vectorstores import InMemoryVectorStore
    from langchain_embeddings import LamEmbeddings

    embeddings = LamEmbeddings(bundle, engine="onnxruntime")
    store = InMemoryVectorStore.from_texts(texts[7:40], embeddings)
    assert store.similarity_search(texts[20], k=1)[0].page_content == texts[20]
    return embeddings.embed_documents(texts)


def llama_index() -> list[list[float]]:
    from llama_index_embeddings import LamEmbedding

    model = LamEmbedding(bundle, engine="onnxruntime")
    assert np.allclose(model.get_query_embedding(texts[20]), model.get_text_embedding(texts[20]))
    return model.get_text_embedding_batch(texts)


def haystack() -> list[list[float]]:
    from haystack import Document, Pipeline
    from haystack_embedders import LamDocumentEmbedder, LamTextEmbedder

    pipeline = Pipeline()
    pipeline.add_component("embedder", LamDocumentEmbedder(bundle))
    pipeline = Pipeline.loads(pipeline.dumps(), allowed_modules=["haystack_embedders"])  # as from a file
    found = pipeline.run({"embedder": {"documents": [Document(content=text) for text in texts]}})
    vectors = [document.embedding for document in found["embedder"]["documents"]]
    assert np.allclose(LamTextEmbedder(bundle).run(texts[20])["embedding"], vectors[20], atol=1e-5)
    return vectors


def lancedb() -> list[list[float]]:
    import lancedb_function  # noqa: F401
    from lancedb import connect
    from lancedb.embeddings import get_registry
    from lancedb.pydantic import LanceModel, Vector

    function = get_registry().get("lam").create(bundle=bundle)

    class Row(LanceModel):
        text: str = function.SourceField()
        vector: Vector(function.ndims()) = function.VectorField()

    with tempfile.TemporaryDirectory() as folder:
        table = connect(folder).create_table("texts", schema=Row)
        table.add([{"text": text} for text in texts])
        assert table.search(texts[20]).limit(1).to_list()[0]["text"] == texts[20]
        return table.to_arrow()["vector"].to_pylist()


RUNS = {"langchain": langchain, "llama-index": llama_index, "haystack": haystack, "lancedb": lancedb}
np.save(output, np.asarray(RUNS[how](), dtype=np.float32))
