"""Reads paragraphs for scripts/distill_collect.py: of manuals, books, speeches and games."""

import html
import itertools
import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

MOST_WORDS = 450
PASSAGES = (60, 90, 130, 180, 250, 350)
"""Words at which a passage of :func:`prose` ends, in turn."""

_ASCII = str.maketrans(
    {
        **{"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "...", "\u00a0": " ", "\u00ad": ""},
        **{"\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2014": " - "},
    }
)
_CITATION = re.compile(
    r" ?\[[^][]*\bpp?\. [^][]*\]| ?\(Contributed by [^()]*\)"
    r"|\b(?:New in|Changed in|Deprecated since) version [\d.]+[:.] ?"
)


def plain(text: str) -> str:
    """The text on one line, its typographic quotes, dashes and spaces in ASCII."""
    return " ".join(text.translate(_ASCII).split())


def of_letters(text: str) -> bool:
    """Whether it is ASCII, and more than nine tenths of it are letters and spaces."""
    return text.isascii() and sum(c.isalpha() or c.isspace() for c in text) > 0.9 * len(text)


def is_prose(text: str) -> bool:
    """Whether it is a sentence or more, mostly of letters, without placeholders and code."""
    ends = re.match(r"[\"'(]*[A-Z].*[.?!][\"')]*$", text, re.DOTALL)
    return bool(ends) and of_letters(text) and not re.search(r"[<>{}|\\$_=@^]", text)


def blocks(text: str) -> list[str]:
    """What stands between empty lines."""
    return re.split(r"\n\s*\n", text)


def sentences_of(paragraph: str) -> list[str]:
    """Its sentences, without quotation marks whose other half is in another sentence."""
    found = re.split(
        r"(?<=[a-z0-9)\"'][.?!])(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<!St\.)[\"')]*\s+(?=[\"'(]*[A-Z])", paragraph
    )
    return [s if s.count('"') % 2 == 0 else s.replace('"', "") for s in found]


def in_turn(sentences: list[str], sizes: tuple[int, ...]) -> Iterator[str]:
    """All the sentences, so many together, in turn."""
    for size in itertools.cycle(sizes):
        if not sentences:
            return
        yield " ".join(sentences[:size])
        sentences = sentences[size:]


def passages(text: str) -> Iterator[str]:
    """The text's sentences, most of them alone, some in passages of two to six."""
    sentences = re.split(r"(?<=[.?!])\s+(?=[\"'(]?[A-Z])", text)
    yield from in_turn(sentences, (1, 1, 1, 1, 2, 1, 1, 1, 1, 3, 1, 1, 1, 1, 6))


def prose(paragraphs: Iterable[str]) -> Iterator[str]:
    """A page's passages of neighbouring paragraphs, and the sentences of each third paragraph."""
    sizes, passage, words = itertools.cycle(PASSAGES), "", 0
    size = next(sizes)
    lines = (plain(_CITATION.sub("", text)) for text in paragraphs)
    for number, paragraph in enumerate(filter(is_prose, lines)):
        if number % 3 == 1:
            yield from sentences_of(paragraph)
        count = len(paragraph.split())
        if words + count > MOST_WORDS:
            yield passage
            passage, words = "", 0
        passage, words = f"{passage} {paragraph}".strip(), words + count
        if words >= size:
            yield passage
            passage, words, size = "", 0, next(sizes)
    yield passage


def speeches(path: Path) -> Iterator[str]:
    """Passages of one to twelve sentences."""
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z])", path.read_text(encoding="utf-8"))
    yield from in_turn(sentences, (1, 2, 4, 7, 12))


def pages(path: Path) -> Iterator[str]:
    """The paragraphs of an HTML page, unless it is a licence or a log of changes."""
    if re.search(r"gfdl|licen[cs]e|legal|copyright|changelog", path.stem):
        return
    aside = r"<pre\b.*?</pre>|<(script|style|table)\b.*?</\1>|<!--.*?-->"
    paragraph = r"<p\b[^>]*>(.*?)(?=</?(?:p|div|ul|ol|dl|h\d|blockquote|body|li|dd)\b)"
    text = path.read_text(encoding="utf-8", errors="replace")
    text = re.sub(aside, "<p>", text, flags=re.DOTALL | re.IGNORECASE)
    yield from prose(_without_tags(part) for part in re.findall(paragraph, text, re.DOTALL | re.IGNORECASE))


def _without_tags(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def r_strings(path: Path) -> Iterator[str]:
    """Paragraphs of the character vectors of an R package: compressed blocks, each with its length before it."""
    data = path.read_bytes()
    while data:
        block = zlib.decompressobj()
        objects = block.decompress(data[4:])
        data = block.unused_data
        lines, at = [], 0
        # A string is a word of flags (0x40009: ASCII), its length in bytes, and the bytes.
        while (at := objects.find(b"\0\4\0\x09", at)) >= 0:
            (length,) = struct.unpack_from(">i", objects, at + 4)
            lines.append(objects[at + 8 : at + 8 + length].decode("latin-1"))
            at += 8 + length
        yield from prose(blocks("\n".join(lines).replace("_", "").replace("--", " - ")))


def sword(path: Path) -> Iterator[str]:
    """Paragraphs of a SWORD module: books of XML, compressed; the index has offset, size and size before."""
    books = path.with_suffix(".bzz").read_bytes()
    for offset, size, _ in struct.iter_unpack("<III", path.read_bytes()):
        if size:
            xml = zlib.decompress(books[offset : offset + size]).decode("utf-8", errors="replace")
            xml = re.sub(r"<(note|title|table|hi|chapter)\b[^>]*>.*?</\1>", "", xml, flags=re.DOTALL)
            xml = re.sub(r'<div [^>]*type="(x-p|paragraph)"/>', "\n\n", xml)
            yield from prose(re.sub(r"\s+([,.;:?!])", r"\1", _without_tags(block)) for block in blocks(xml))


def translatable(path: Path) -> Iterator[str]:
    """Dialogue and help of Wesnoth, marked for translation: ``_ "text"`` and ``_("text")``."""
    marked = r'_\s*\(?\s*(?:"((?:\\.|""|[^"\\])*)"|\[\[(.*?)\]\])'
    found = map("".join, re.findall(marked, path.read_text(encoding="utf-8", errors="replace"), re.DOTALL))
    texts = (t.replace("\\\n", "").replace("\\n", "\n").replace('""', '"').replace('\\"', '"') for t in found)
    yield from prose(re.sub(r"^[a-z ]+\^|<[^>]*>", "", block) for text in texts for block in blocks(text))


def backquoted(path: Path) -> Iterator[str]:
    """Dialogue of Endless Sky, in backquotes."""
    found = re.findall(r"`([^`]*)`", path.read_text(encoding="utf-8"))
    yield from prose(text.strip(" \t()") for text in found)


def json_strings(path: Path) -> Iterator[str]:
    """Descriptions and dialogue of a game's JSON, wherever they stand."""
    for text in _strings(json.loads(path.read_text(encoding="utf-8"))):
        for block in blocks(text):
            line = plain(block).lstrip("& ")
            if is_prose(line):
                yield line


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
