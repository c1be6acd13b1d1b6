"""Tasks from a folder, laid out as the datasets of mteb and BEIR are."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lam_engines.errors import InputError
from lam_engines.files import Reading, read_rows
from lam_engines.files.formats import format_of
from lam_engines.files.kept import plain

from .tasks import RetrievalTask, StsTask, Task

_KINDS = ("parquet", "jsonl", "csv", "tsv")
"""Formats of a table, the one that is taken first where a table is there in several."""
_SHARD = re.compile(r"-\d+-of-\d+.*")
_SPLIT = "test"


def read_tasks(folder: Path) -> tuple[Task, ...]:
    """The tasks of a folder: itself, or each of its subfolders.

    A task of retrieval has the tables ``corpus`` (``_id`` or ``id``, ``text``, and ``title`` or not), ``queries``
    (``_id`` or ``id``, ``text``) and ``qrels``, ``default`` or ``data`` (``query-id``, ``corpus-id``, ``score``). One
    of similarity is a table of ``sentence1``, ``sentence2`` and ``score``, or has it in ``data``. A table is a file or
    a folder of files. Of several splits ``test`` is taken.

    Raises:
        InputError: there is no task, or a table is not as described.
    """
    try:
        if (task := _task(folder)) is not None:
            return (task,)
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = tuple(task for path in inside if (task := _task(path)) is not None)
    except OSError as error:
        raise InputError(
            f"expected a folder of tasks at {folder}, which cannot be read ({error.strerror}); name another: --tasks"
        ) from None
    if not found:
        raise InputError(
            f"expected corpus, queries and qrels, or a table of sentence1, sentence2 and score "
            f"(.{', .'.join(_KINDS)}), in the folder {folder} or in its subfolders, found none; name another: "
            f"--tasks FOLDER"
        )
    return found


def _task(folder: Path) -> Task | None:
    name = folder.resolve().name
    if corpus := _table(folder, "corpus"):
        parts = {"queries": _table(folder, "queries"), "qrels": _table(folder, "qrels", "default", "data")}
        if missing := [part for part, files in parts.items() if not files]:
            raise InputError(
                f"expected {' and '.join(missing)} beside corpus in {folder}, found none; see: lam-export report --help"
            )
        return _retrieval(name, corpus, parts["queries"], parts["qrels"])
    files = _of_split(folder, [path for path in folder.iterdir() if _kind(path)]) or _table(folder, "data")
    return _sts(name, files) if files else None


def _sts(name: str, files: Sequence[Path]) -> StsTask:
    pairs = []
    for where, first, (second, score) in _rows(files, "sentence1", "sentence2", "score"):
        if not isinstance(second, str):
            raise InputError(f"{where}: expected a text in sentence2, found {second!r:.40}; mend the row")
        pairs.append((first, second, _number(where, score)))
    if not pairs:
        raise InputError(f"{files[0]}: expected rows of sentence1, sentence2 and score, found none; name other files")
    return StsTask(name, tuple(pairs))


def _retrieval(name: str, corpus: Sequence[Path], queries: Sequence[Path], qrels: Sequence[Path]) -> RetrievalTask:
    documents = _identified(corpus)
    relevance: dict[str, dict[str, float]] = {}
    for where, query, (document, score) in _rows(qrels, "query-id", "corpus-id", "score"):
        relevance.setdefault(query, {})[str(document)] = _number(where, score)
    asked = {key: text for key, text in _identified(queries).items() if key in relevance}
    if not any(documents.keys() & relevance[key].keys() for key in asked):
        raise InputError(
            f"{qrels[0]}: expected identifiers of {queries[0].name} and {corpus[0].name}, found none that is in both; "
            f"put the files of one task into the folder"
        )
    return RetrievalTask(name, documents, asked, relevance)


def _identified(files: Sequence[Path]) -> dict[str, str]:
    """Texts by identifier, each after its title."""
    columns = next(kept for kept in (("_id", "title"), ("id", "title"), ("_id",), ("id",)) if _has(files, kept))
    found = {}
    for _, text, (key, *title) in _rows(files, "text", *columns):
        found[str(key)] = " ".join(filter(None, (*title, text))).strip()
    return found


def _has(files: Sequence[Path], kept: tuple[str, ...]) -> bool:
    """Whether the first row has these columns; true for the last choice, whose absence is then an error."""
    try:
        return kept == ("id",) or next(islice(_rows(files, "text", *kept), 1), None) is not None
    except InputError:
        return False


def _rows(files: Sequence[Path], text: str, *kept: str) -> Iterator[tuple[str, str, list[Any]]]:
    """Where each row is, its text, and its other values. Only ``title`` may be missing."""
    for file in files:
        with read_rows(file, Reading(column=text, keep=kept)) as rows:
            for row in rows:
                where = f"{file}, row {rows.row}"
                values = [plain(value) for value in row.kept]
                for name, value in zip(kept, values, strict=True):
                    if value is None and name != "title":
                        raise InputError(f"{where}: expected a value in {name}, found none; mend the row")
                yield where, row.text, values


def _table(folder: Path, *names: str) -> list[Path]:
    """The files of the first table that is there: those that have its name, or lie in its folder."""
    for name in names:
        found = [path for path in folder.iterdir() if _kind(path) and _split(path) == name]
        inside = folder / name
        if found := found or ([path for path in inside.iterdir() if _kind(path)] if inside.is_dir() else []):
            return _of_split(folder, found)
    return []


def _of_split(folder: Path, files: Sequence[Path]) -> list[Path]:
    splits = sorted({_split(path) for path in files})
    if len(splits) > 1 and _SPLIT not in splits:
        raise InputError(f"expected a table {_SPLIT!r} in {folder}, found {', '.join(splits)}; keep one, or rename it")
    chosen = [path for path in files if _split(path) == _SPLIT or len(splits) == 1]
    kinds = [kind for kind in _KINDS if any(_kind(path) == kind for path in chosen)]
    return sorted(path for path in chosen if _kind(path) == kinds[0]) if kinds else []


def _kind(path: Path) -> str | None:
    """The format of a table's file; None for other files."""
    found = None if path.name.startswith((".", "_")) or not path.is_file() else format_of(path.name)
    return found.name if found is not None and found.name in _KINDS else None


def _split(path: Path) -> str:
    """The name of a file without its format and number: ``test`` of ``test-00000-of-00001.parquet``."""
    return _SHARD.sub("", path.name.partition(".")[0])


def _number(where: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: expected a finite number in score, found {value!r:.40}; mend the row")
    return number
