"""Run by tests in the environment ``sentence-transformers``: HOW FOLDER TEXTS.json OUTPUT.npy."""

import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", ORT_DISABLE_TELEMETRY="1")
import numpy as np

how, folder, texts_file, output = sys.argv[1:]
with open(texts_file) as file:
    texts = json.load(file)
F32 = {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}}


def sentence_transformers(backend: str, **options: object) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, backend=backend, model_kwargs=options)
    assert model.max_seq_length == 1_000_000, model.max_seq_length
    return model.encode(texts, batch_size=8)


def langchain(backend: str, **options: object) -> list[list[float]]:
    from langchain_huggingface import HuggingFaceEmbeddings

    chosen = {"backend": backend, "model_kwargs": options}
    return HuggingFaceEmbeddings(model_name=folder, model_kwargs=chosen).embed_documents(texts)


def llama_index(backend: str, **options: object) -> list[list[float]]:
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    model = HuggingFaceEmbedding(model_name=folder, backend=backend, model_kwargs=options)
    return model.get_text_embedding_batch(texts)


RUNS = {
    "sentence-transformers onnx": lambda: sentence_transformers("onnx"),
    "sentence-transformers int8": lambda: sentence_transformers("onnx", file_name="onnx/model_quantized.onnx"),
    "sentence-transformers openvino": lambda: sentence_transformers("openvino", **F32),
    "langchain onnx": lambda: langchain("onnx"),
    "langchain openvino": lambda: langchain("openvino", **F32),
    "llama-index onnx": lambda: llama_index("onnx"),
    "llama-index openvino": lambda: llama_index("openvino", **F32),
}
np.save(output, np.asarray(RUNS[how](), dtype=np.float32))
