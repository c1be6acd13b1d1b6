"""Run by tests in the environment ``mteb``: HOW FOLDER TEXTS.json OUTPUT.npy."""

import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", ORT_DISABLE_TELEMETRY="1")
import numpy as np

how, folder, texts_file, output = sys.argv[1:]
with open(texts_file) as file:
    texts = json.load(file)


def txtai(graph: str, **options: object) -> np.ndarray:
    from txtai import Embeddings

    return np.asarray(Embeddings(path=f"{folder}/{graph}", encodebatch=8, **options).batchtransform(texts))


def score() -> np.ndarray:
    """The score that mteb gives an engine on pairs of these texts, whose gold scores are the cosines themselves."""
    import mteb
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.models_protocols import EncoderProtocol

    from lam_engines import load_engine
    from lam_engines.mteb import LamEncoder

    first, second = texts[7:25], texts[25:43]
    with load_engine(folder, "onnxruntime") as engine:
        gold = (engine.embed(first) * engine.embed(second)).sum(axis=1)

    class Pairs(AbsTaskSTS):
        min_score, max_score = -1, 1
        metadata = TaskMetadata(
            name="Pairs",
            dataset={"path": "local/none", "revision": "1"},
            description="Pairs of the tests' texts.",
            reference=None,
            type="STS",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="cosine_spearman",
            date=("2020-01-01", "2020-01-02"),
            domains=["News"],
            task_subtypes=[],
            license="mit",
            annotations_creators="derived",
            dialect=[],
            sample_creation="created",
            bibtex_citation="",
        )

        def load_data(self, num_proc: int | None = None, **options: object) -> None:
            rows = {"sentence1": first, "sentence2": second, "score": gold.tolist()}
            self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
            self.data_loaded = True

    encoder = LamEncoder(folder, engine="onnxruntime")
    assert isinstance(encoder, EncoderProtocol)
    result = mteb.evaluate(encoder, Pairs(), cache=None, overwrite_strategy="always")
    return np.array([result.task_results[0].get_score()])


def encoded() -> np.ndarray:
    """What the encoder gives for batches of texts."""
    from lam_engines.mteb import LamEncoder

    encoder = LamEncoder(folder, engine="onnxruntime")
    return encoder.encode([{"text": texts[:20]}, {"text": texts[20:]}])


RUNS = {
    "txtai": lambda: txtai("onnx/model.onnx", tokenizer=f"{folder}/tokenizer.json"),
    "txtai int8": lambda: txtai("onnx/model_quantized.onnx", tokenizer=f"{folder}/tokenizer.json"),
    "txtai bundle": lambda: txtai("model.onnx"),
    "mteb bundle score": score,
    "mteb bundle": encoded,
}
np.save(output, np.asarray(RUNS[how](), dtype=np.float32))
