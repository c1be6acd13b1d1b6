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


def retrieval_folder() -> str:
    """Write a task of retrieval beside the output: every text is a document, halves of some are queries."""
    place = os.path.join(os.path.dirname(output), "halves")
    os.mkdir(place)
    chosen = [i for i, text in enumerate(texts[7:45]) if len(text.split()) > 5]
    tables = {
        "corpus": [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(texts[7:45])],
        "queries": [{"_id": f"q{i}", "text": " ".join(texts[7 + i].split()[::2])} for i in chosen],
        "qrels": [
            {"query-id": f"q{i}", "corpus-id": f"d{(i + step) % 38}", "score": 3 - step}
            for i in chosen
            for step in (0, 1)
        ],
    }
    names = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in tables)
    with open(os.path.join(place, "README.md"), "w") as file:
        file.write(f"---\nconfigs:\n{names}---\n")
    for name, rows in tables.items():
        with open(os.path.join(place, f"{name}.jsonl"), "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return place


def scores() -> np.ndarray:
    """The scores that mteb gives an engine: on pairs of these texts, whose gold scores are the cosines themselves, and
    on a folder of retrieval.
    """
    import mteb
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.sts import AbsTaskSTS
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.models_protocols import EncoderProtocol

    from lam_engines import load_engine
    from lam_engines.mteb import LamEncoder

    first, second = texts[7:25], texts[25:43]
    with load_engine(folder, "onnxruntime") as engine:
        gold = (engine.embed(first) * engine.embed(second)).sum(axis=1)

    def described(name: str, path: str, kind: str, main_score: str, split: str) -> TaskMetadata:
        return TaskMetadata(
            name=name,
            dataset={"path": path, "revision": "1"},
            description="The tests' texts.",
            reference=None,
            type=kind,
            category="t2t",
            modalities=["text"],
            eval_splits=[split],
            eval_langs=["eng-Latn"],
            main_score=main_score,
            date=("2020-01-01", "2020-01-02"),
            domains=["News"],
            task_subtypes=[],
            license="mit",
            annotations_creators="derived",
            dialect=[],
            sample_creation="created",
            bibtex_citation="",
        )

    class Pairs(AbsTaskSTS):
        min_score, max_score = -1, 1
        metadata = described("Pairs", "local/none", "STS", "cosine_spearman", "test")

        def load_data(self, num_proc: int | None = None, **options: object) -> None:
            rows = {"sentence1": first, "sentence2": second, "score": gold.tolist()}
            self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
            self.data_loaded = True

    class Halves(AbsTaskRetrieval):
        metadata = described("Halves", retrieval_folder(), "Retrieval", "ndcg_at_10", "train")

    encoder = LamEncoder(folder, engine="onnxruntime")
    assert isinstance(encoder, EncoderProtocol)
    result = mteb.evaluate(encoder, [Pairs(), Halves()], cache=None, overwrite_strategy="always")
    return np.array([task.get_score() for task in result.task_results])


def encoded() -> np.ndarray:
    """What the encoder gives for batches of texts."""
    from lam_engines.mteb import LamEncoder

    encoder = LamEncoder(folder, engine="onnxruntime")
    return encoder.encode([{"text": texts[:20]}, {"text": texts[20:]}])


RUNS = {
    "txtai": lambda: txtai("onnx/model.onnx", tokenizer=f"{folder}/tokenizer.json"),
    "txtai int8": lambda: txtai("onnx/model_quantized.onnx", tokenizer=f"{folder}/tokenizer.json"),
    "txtai bundle": lambda: txtai("model.onnx"),
    "mteb bundle scores": scores,
    "mteb bundle": encoded,
}
np.save(output, np.asarray(RUNS[how](), dtype=np.float32))
