"""Reads entries for scripts/distill_collect.py: of dictionaries, quotations, and the index of Debian's packages."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from distill_read_prose import blocks, is_prose, plain, sentences_of


def wordnet(path: Path) -> Iterator[str]:
    """Definitions and examples of ``data.*``: after the bar, ``definition; "example"; "example"``."""
    for line in path.read_text(encoding="utf-8").splitlines():
        _, bar, gloss = line.partition(" | ")
        if bar:
            yield from re.findall(r'"([^"]+)"', gloss)
            yield re.sub(r'"[^"]*"', "", gloss).strip(" ;")


def fortunes(path: Path) -> Iterator[str]:
    """Quotations, without their authors."""
    if path.suffix not in (".dat", ".u8"):
        for quotation in path.read_text(encoding="utf-8", errors="replace").split("\n%\n"):
            yield re.split(r"\n\s*--", quotation)[0]


def _articles(path: Path) -> list[str]:
    """Articles of a dictd dictionary: a headword at the margin, its text indented."""
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        return re.split(r"\n(?=\S)", file.read())


def dictionary(path: Path) -> Iterator[str]:
    """Articles as a whole, and their paragraphs."""
    for article in _articles(path):
        text = re.sub(r"<[^>]*>|\(\d{4}-\d\d-\d\d\)|[{}]|/[^/\s][^/\n]*/", "", article.partition("\n")[2])
        yield from (text, *text.split("\n\n"))


def gcide(path: Path) -> Iterator[str]:
    """Definitions and quotations of 20 words and more, and long articles as a whole, without what is obsolete."""
    for article in _articles(path)[1:]:
        body = re.sub(r"\[(Obs|Archaic|R)\.?[^]]*\]", "|", article)
        for _ in range(3):  # etymologies nest
            body = re.sub(r"\[[^][]*\]", "\n", body)
        body = body.partition("\n")[2]
        body = re.sub(r"\s--[A-Z][^\n]*(\n {30,}\S[^\n]*)*", "\n\n", body)
        body = re.sub(r"^\s*(\d+\.?|\([a-z]\)|Note:|Syn:|--)\s*|[{}]|\([^)]*\)", "", body, flags=re.MULTILINE)
        lines = (" ".join(block.split()) for block in blocks(body))
        definitions = [line for line in lines if len(line.split()) >= 20 and is_prose(line) and " -- " not in line]
        whole = sum(len(line.split()) for line in definitions) >= 60
        yield from [" ".join(definitions)] if whole else definitions


def ding(path: Path) -> Iterator[str]:
    """The English example sentences of a dictionary: ``German | Satz. :: English | sentence.; another.``."""
    for line in path.read_text(encoding="utf-8").splitlines():
        english = re.sub(r"\[[^]]*\]|\{[^}]*\}", "", plain(line.partition(" :: ")[2]))
        yield from (text.strip() for text in re.split(r"\||(?<=[.?!]);", english) if is_prose(text.strip()))


def descriptions(path: Path) -> Iterator[str]:
    """The one-line descriptions of apt's list."""
    yield from re.findall(r"^Description-en: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)


def long_descriptions(path: Path) -> Iterator[str]:
    """The long descriptions of apt's list, without their bullets and what they say of the package itself."""
    skipped = re.compile(r"^  |^ [-*o] ", re.MULTILINE)
    seen = set()
    for long in re.findall(r"^Description-en: .*\n((?: .*\n)*)", path.read_text(encoding="utf-8"), re.MULTILINE):
        parts = re.split(r"^ \.\n", long, flags=re.MULTILINE)
        paragraphs = [plain(part) for part in parts if not skipped.search(part)]
        new = [p for p in paragraphs if p not in seen]
        seen.update(new)
        good = [p for p in new if is_prose(p) and not re.match(r"This (\S+ )?(meta)?package|Th(is|ese) (is|are) ", p)]
        yield " ".join(good)
        if sum(len(p.split()) for p in good) < 40:
            for paragraph in good:
                yield from sentences_of(paragraph)
