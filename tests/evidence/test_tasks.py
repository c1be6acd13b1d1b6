"""Tasks of retrieval and similarity: every layout that mteb's datasets have, and the scores of trec_eval."""

import csv
import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from lam_engines.errors import InputError
from lam_export.evidence.corpus import Text, read_corpus
from lam_export.evidence.task_files import read_tasks
from lam_export.evidence.tasks import RetrievalTask, StsTask

Rows = list[dict[str, object]]

DOCUMENTS: Rows = [
    {"_id": "d1", "title": "Cats", "text": "They sleep."},
    {"_id": "d2", "title": "", "text": " They eat. "},
    {"_id": "d3", "title": "Cars", "text": "They drive."},
]
QUERIES: Rows = [{"_id": "q1", "text": "who sleeps?"}, {"_id": "q2", "text": "who drives?"}, {"_id": "q3", "text": "?"}]
QRELS: Rows = [
    {"query-id": "q1", "corpus-id": "d1", "score": 2},
    {"query-id": "q1", "corpus-id": "d9", "score": 1},
    {"query-id": "q2", "corpus-id": "d3", "score": 1},
    {"query-id": "q2", "corpus-id": "d1", "score": 0},
]
PAIRS: Rows = [
    {"sentence1": "a cat", "sentence2": "a car", "score": 1.5},
    {"sentence1": "x", "sentence2": "y", "score": 0},
]


def as_jsonl(path: Path, rows: Rows) -> None:
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_tsv(path: Path, rows: Rows) -> None:
    with path.with_suffix(".tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def as_parquet(path: Path, rows: Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for i, part in enumerate((rows[:1], rows[1:])):
        pq.write_table(pa.Table.from_pylist(part), path.with_name(f"{path.name}-0000{i}-of-00002.parquet"))


def write(folder: Path, tables: Mapping[str, Rows], how: Callable[[Path, Rows], None]) -> Path:
    for name, rows in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        how(folder / name, rows)
    return folder


def renamed(rows: Rows, **names: str) -> Rows:
    return [{names.get(key.strip("_"), key): value for key, value in row.items()} for row in rows]


LAYOUTS: dict[str, tuple[dict[str, Rows], Callable[[Path, Rows], None]]] = {
    "BEIR": ({"corpus": DOCUMENTS, "queries": QUERIES, "qrels/test": QRELS, "qrels/dev": QRELS[:1]}, as_jsonl),
    "tab-separated": ({"corpus": DOCUMENTS, "queries": QUERIES, "qrels/test": QRELS}, as_tsv),
    "Hub": ({"corpus/corpus": DOCUMENTS, "queries/queries": QUERIES, "default/test": QRELS}, as_parquet),
    "Hub's data": ({"corpus/test": DOCUMENTS, "queries/test": QUERIES, "data/test": QRELS}, as_parquet),
    "other names": (
        {"corpus": renamed(DOCUMENTS, id="id"), "queries": renamed(QUERIES, id="id"), "qrels": QRELS},
        as_jsonl,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_retrieval(layout: str, tmp_path: Path) -> None:
    if "Hub" in layout:
        pytest.importorskip("pyarrow")
    tables, how = LAYOUTS[layout]
    (task,) = read_tasks(write(tmp_path / "animals", tables, how))
    assert isinstance(task, RetrievalTask)
    assert task.name == "animals"
    assert task.documents == {"d1": "Cats They sleep.", "d2": "They eat.", "d3": "Cars They drive."}
    assert task.queries == {"q1": "who sleeps?", "q2": "who drives?"}, "q3 has no relevant document"
    assert task.relevance == {"q1": {"d1": 2, "d9": 1}, "q2": {"d3": 1, "d1": 0}}


@pytest.mark.parametrize(("name", "how"), [("test", as_jsonl), ("data/test", as_parquet), ("train", as_tsv)])
def test_layouts_of_similarity(name: str, how: Callable[[Path, Rows], None], tmp_path: Path) -> None:
    if how is as_parquet:
        pytest.importorskip("pyarrow")
    (task,) = read_tasks(write(tmp_path / "sts", {name: PAIRS}, how))
    assert task == StsTask("sts", (("a cat", "a car", 1.5), ("x", "y", 0.0)))


def test_several_tasks_join_the_corpus(tmp_path: Path) -> None:
    write(tmp_path / "b", {"test": PAIRS}, as_jsonl)
    write(tmp_path / "a", LAYOUTS["BEIR"][0], as_jsonl)
    (tmp_path / "README.md").write_text("---\nconfigs: []\n---\n")
    corpus = read_corpus(tasks=tmp_path, builtin=False)
    assert corpus.sources == ("a", "b")
    assert [task.name for task in corpus.tasks] == ["a", "b"]
    assert corpus.texts[0] == Text("who sleeps?", "task", "Latin")
    assert len(corpus.texts) == 2 + 3 + 4


MISTAKES: dict[str, tuple[dict[str, Rows], str]] = {
    "nothing": ({}, "expected corpus, queries and qrels, or a table of sentence1"),
    "no queries": ({"corpus": DOCUMENTS, "qrels": QRELS}, "expected queries beside corpus"),
    "no qrels": ({"corpus": DOCUMENTS}, "expected queries and qrels beside corpus"),
    "no identifiers": (
        {"corpus": [{"text": "a"}], "queries": QUERIES, "qrels": QRELS},
        "row 1: expected a value in id",
    ),
    "another corpus": (
        {"corpus": [{"_id": "x", "text": "a"}], "queries": QUERIES, "qrels": QRELS},
        "found none that is in both",
    ),
    "a word for a score": (
        {"corpus": DOCUMENTS, "queries": QUERIES, "qrels": [{**QRELS[0], "score": "high"}]},
        "row 1: expected a finite number in score, found 'high'",
    ),
    "several splits": ({"dev": PAIRS, "train": PAIRS}, "expected a table 'test'"),
    "other columns": ({"test": [{"text": "a", "label": 1}]}, "'sentence1'"),
    "no second sentence": ({"test": [{"sentence1": "a", "score": 1}]}, "expected a value in sentence2, found none"),
    "a number for a sentence": ({"test": [{**PAIRS[0], "sentence2": 5}]}, "expected a text in sentence2, found 5"),
    "no rows": ({"test": []}, "found none"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_clear_line(mistake: str, tmp_path: Path) -> None:
    tables, expected = MISTAKES[mistake]
    tmp_path.joinpath("task").mkdir()
    with pytest.raises(InputError) as caught:
        read_tasks(write(tmp_path / "task", tables, as_jsonl))
    assert expected in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_tasks(tmp_path / "none")


def retrieval(relevance: Mapping[str, float], count: int = 30) -> tuple[RetrievalTask, dict[str, int]]:
    documents = {f"d{i:02}": f"text {i}" for i in range(count)}
    task = RetrievalTask("task", documents, {"q": "query"}, {"q": relevance})
    return task, {text: i for i, text in enumerate(["query", *documents.values()])}


def at(similarities: list[float]) -> np.ndarray:
    """A query, and documents that are so near to it; their lengths differ."""
    rows = [[1.0, 0.0], *([s * 2**i, math.sqrt(1 - s * s) * 2**i] for i, s in enumerate(similarities))]
    return np.array(rows)


def test_ndcg_by_hand() -> None:
    task, index = retrieval({"d03": 2, "d05": 1, "d29": 1, "gone": 3, "d00": -1})
    order = [0, 3, 1, 5, *(i for i in range(30) if i not in (0, 3, 1, 5))]
    similarity = [0.0] * 30
    for rank, document in enumerate(order):
        similarity[document] = 0.9 - 0.02 * rank
    got = 2 / math.log2(3) + 1 / math.log2(5)  # ranks 2 and 4; d29 is beyond the 10 nearest
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4) + 1 / math.log2(5)
    assert task.ndcg(index, at(similarity)) == pytest.approx([got / ideal])


def test_of_equals_the_greater_identifier_is_first() -> None:
    """As in trec_eval; by the order of the file, copies of a document would score as the file happens to lie."""
    for name, expected in (("d29", 1.0), ("d20", 1 / math.log2(11)), ("d19", 0.0)):
        task, index = retrieval({name: 1})
        assert task.ndcg(index, at([0.5] * 30)) == pytest.approx([expected])
        copies = dict.fromkeys(task.documents, "one text")
        same = RetrievalTask("task", copies, task.queries, task.relevance)
        assert same.ndcg({"query": 0, "one text": 1}, at([0.5])) == pytest.approx([expected])


def test_few_documents_and_none_that_is_relevant() -> None:
    task, index = retrieval({"d01": 1}, count=2)
    assert task.ndcg(index, at([0.9, 0.1])) == pytest.approx([1 / math.log2(3)])
    task, index = retrieval({"d01": 0}, count=2)
    assert task.ndcg(index, at([0.9, 0.1])) == pytest.approx([0.0])
    task, index = retrieval({"d01": 1}, count=1), {}
    assert task[0].ndcg(task[1], np.zeros((2, 4))) == pytest.approx([0.0]), "no vector, no score"


@pytest.mark.needs("scipy")
def test_scores_of_both_sides() -> None:
    rng = random.Random(0)
    documents = {f"d{i}": f"document {i}" for i in range(200)}
    queries = {f"q{i}": f"query {i}" for i in range(50)}
    relevance = {key: dict.fromkeys(rng.sample(sorted(documents), 5), 1.0) for key in queries}
    task = RetrievalTask("task", documents, queries, relevance)
    index = {text: i for i, text in enumerate(task.texts)}
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((len(index), 16))
    moved = reference + 0.3 * generator.standard_normal(reference.shape)
    same = task.score(index, reference, reference.astype(np.float32))
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    found = task.score(index, reference, moved)
    assert (found.cases, found.documents, found.measure) == (50, 200, "nDCG@10")
    assert found.reference == pytest.approx(task.ndcg(index, reference).mean())
    assert found.difference == pytest.approx(found.candidate - found.reference)
    assert found.low < found.difference < found.high
    pairs = StsTask("pairs", tuple((f"query {i}", f"document {i}", float(i)) for i in range(20)))
    assert pairs.score(index, reference, reference).difference == 0
    assert pairs.score(index, reference, moved).difference != 0
