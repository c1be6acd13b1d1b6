"""The texts on which subjects are compared: built-in ones, a user's file, pairs with gold scores."""

import csv
import hashlib
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from lam_engines.errors import InputError
from lam_engines.files import read_texts
from lam_engines.files.lines import STANDARD_INPUT, Lines

from .task_files import read_tasks
from .tasks import Task

BUILTIN = Path(__file__).with_name("builtin_texts.jsonl")

_LONG_TEXTS = {130: 5, 260: 4, 520: 4, 1000: 3, 2000: 2, 4000: 1}
"""Number of tokens to the number of texts of about that length that are composed."""
_CHARACTERS_PER_TOKEN = 4.6
"""Characters per token, spaces included, of the built-in English prose in the vocabulary of English BERTs."""
_LANGUAGE_CHARACTERS = 1000
"""Characters at the beginning of a text that decide its script."""


@dataclass(frozen=True)
class Text:
    """A text, with the kind and the language by which figures are grouped."""

    text: str
    kind: str
    """``prose``, ``code``, .. for a built-in text, ``composed`` for joined ones; else ``file``, ``sts`` or ``task``."""
    language: str
    """Language code of a built-in text, such as ``en``; for a user's text the script as of :func:`script_of`."""


@dataclass(frozen=True)
class Corpus:
    """Unique texts in a fixed order, and pairs of them."""

    texts: tuple[Text, ...]
    pairs: tuple[tuple[int, int, float], ...]
    """Indices of two texts, and the gold score of their similarity."""
    sources: tuple[str, ...]
    """``built-in``, and the names of the files without their folders."""
    tasks: tuple[Task, ...] = ()
    """Tasks whose texts are among the texts."""

    @property
    def index(self) -> dict[str, int]:
        """Place of each text."""
        return {text.text: i for i, text in enumerate(self.texts)}

    @property
    def sha256(self) -> str:
        """The hash of all texts, in order."""
        # JSON in ASCII: it marks where each text ends, and it can write lone surrogates.
        return hashlib.sha256(json.dumps([text.text for text in self.texts]).encode("ascii")).hexdigest()


def read_corpus(
    texts: Path | None = None,
    sts: Path | None = None,
    *,
    tasks: Path | None = None,
    builtin: bool = True,
    column: str | None = None,
) -> Corpus:
    """Collect the texts of a report.

    A text that occurs several times, in one source or in several, is kept once, at its first place.

    Args:
        texts: a file as ``lam-export embed`` reads it: ``.txt``, ``.jsonl``, ``.csv`` or ``.parquet``.
        sts: a CSV file of ``sentence1, sentence2, score``, UTF-8, with or without a header.
        tasks: a folder of tasks; see :func:`read_tasks`.
        builtin: take the built-in texts too: 18 languages, up to about 4,000 tokens.
        column: the column that holds the texts, if ``texts`` is a table; by default as for ``read_texts``.

    Raises:
        InputError: a file is missing or not as described (the message names the line), or there is no text at all.
    """
    unique: dict[str, Text] = {}
    pairs: list[tuple[str, str, float]] = []
    sources: list[str] = []
    if builtin:
        unique |= {text.text: text for text in builtin_texts()}
        sources.append("built-in")
    if texts is not None:
        with read_texts(texts, column) as reader:
            _add(unique, reader, "file")
        sources.append(_source(texts))
    if sts is not None:
        pairs = list(_read_sts(sts))
        _add(unique, (sentence for pair in pairs for sentence in pair[:2]), "sts")
        sources.append(_source(sts))
    found = () if tasks is None else read_tasks(tasks)
    for task in found:
        _add(unique, task.texts, "task")
        sources.append(task.name)
    if not unique:
        raise InputError(
            f"expected at least one text, found none in {', '.join(sources) or 'no source'}; name a file that holds "
            f"some: --texts FILE"
        )
    index = {text: i for i, text in enumerate(unique)}
    return Corpus(
        texts=tuple(unique.values()),
        pairs=tuple((index[first], index[second], score) for first, second, score in pairs),
        sources=tuple(sources),
        tasks=found,
    )


def builtin_texts() -> list[Text]:
    """The texts that come with lam-export, and longer ones that are composed of them. They are always the same."""
    with BUILTIN.open(encoding="utf-8") as lines:
        texts = [Text(**json.loads(line)) for line in lines]
    prose = [text.text for text in texts if text.language == "en" and text.kind in ("prose", "dialogue")]
    composed = [Text(text, "composed", "en") for text in _long_texts(prose)]
    for language in dict.fromkeys(text.language for text in texts if text.language not in ("en", "none")):
        composed.append(Text(" ".join(text.text for text in texts if text.language == language), "composed", language))
    for kind in ("code", "log", "markup"):
        composed.append(Text("\n\n".join(text.text for text in texts if text.kind == kind), "composed", "none"))
    return texts + composed


def _long_texts(prose: Sequence[str]) -> Iterator[str]:
    lengths = [tokens for tokens, count in _LONG_TEXTS.items() for _ in range(count)]
    for i, tokens in enumerate(lengths):
        # Each text begins at another place and takes other steps, so that no two texts stay the same for long.
        start = i * len(prose) // len(lengths)
        step = next(s for s in range(2 * i + 1, 2 * i + 2 + len(prose)) if math.gcd(s, len(prose)) == 1)
        order = cycle(prose[(start + k * step) % len(prose)] for k in range(len(prose)))
        text = next(order)
        while len(text) < tokens * _CHARACTERS_PER_TOKEN:
            text += f" {next(order)}"
        yield text[: round(tokens * _CHARACTERS_PER_TOKEN)]


def script_of(text: str) -> str:
    """The script of most letters, such as ``Latin`` or ``Cyrillic``; ``none`` for a text without letters.

    It is the first word of the letters' names in Unicode.
    """
    # NFKC turns mathematical and full-width letters into plain letters of their script.
    letters = filter(str.isalpha, unicodedata.normalize("NFKC", text[:_LANGUAGE_CHARACTERS]))
    scripts = Counter(unicodedata.name(letter, "unknown").partition(" ")[0] for letter in letters)
    if not scripts:
        return "none"
    script = scripts.most_common(1)[0][0]
    return "Han" if script == "CJK" else script.capitalize()


def _add(unique: dict[str, Text], texts: Iterable[str], kind: str) -> None:
    for text in texts:
        if text not in unique:
            unique[text] = Text(text, kind, script_of(text))


def _source(path: Path) -> str:
    return "standard input" if path == STANDARD_INPUT else path.name


def _read_sts(path: Path) -> Iterator[tuple[str, str, float]]:
    count = 0
    with closing(Lines(path, newline="")) as lines:
        rows = csv.reader(lines, strict=True)  # strict: else a quote that is not closed swallows the rest of the file
        while True:
            where = f"{lines.name}, line {lines.number + 1}: expected sentence1, sentence2, score, found"
            first = lines.number == 0
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                raise InputError(
                    f"{where} a broken CSV row ({error}); close the quotes that are opened, and double those inside a "
                    f"quoted field"
                ) from None
            if len(row) != 3:
                found = f"{len(row)} field{'s' * (len(row) != 1)}" if row else "an empty line"
                fix = "separate them by commas, and quote sentences that hold one" if row else "delete it"
                raise InputError(f"{where} {found}; {fix}")
            score = _number(row[2])
            if score is None and first:
                continue  # the header
            if score is None or not math.isfinite(score):
                raise InputError(f"{where} {row[2][:40]!r} for the score; write a finite number, or drop the row")
            count += 1
            yield row[0], row[1], score
    if not count:
        raise InputError(f"{lines.name}: expected rows of sentence1, sentence2, score, found none; name another file")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
