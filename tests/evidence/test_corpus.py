"""The texts of a report: the built-in ones, a user's file, and the pairs of a benchmark."""

import json
import os
import random
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from lam_engines.embedding.tokenizer import Tokenizer
from lam_engines.errors import LamError
from lam_export.evidence.corpus import BUILTIN, Corpus, Text, builtin_texts, read_corpus, script_of

ROWS = [("A dog runs.", "The dog is running.", 4.5), ('He said, "no".', "Two\nlines", 0.0), ("A dog runs.", "", 2.0)]
PLAIN = 'A dog runs.,The dog is running.,4.5\n"He said, ""no"".","Two\nlines",0\nA dog runs.,,2.0\n'


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def pairs_of(corpus: Corpus) -> list[tuple[str, str, float]]:
    return [(corpus.texts[i].text, corpus.texts[j].text, score) for i, j, score in corpus.pairs]


def refusal(texts: Path | None = None, sts: Path | None = None) -> str:
    with pytest.raises(LamError) as caught:
        read_corpus(texts, sts, builtin=False)
    message = str(caught.value)
    assert message.isprintable(), message
    return message


def test_the_built_in_texts_are_of_many_kinds_languages_and_lengths(tiny_checkpoint_folder: Path) -> None:
    texts = builtin_texts()
    assert len(texts) == len({text.text for text in texts}) > 280
    languages = Counter(text.language for text in texts)
    assert " ".join(languages) == "en none de fr es pt it pl ru el tr ar he hi zh ja ko vi th"
    assert min(languages.values()) >= 7
    assert " ".join(dict.fromkeys(text.kind for text in texts)) == (
        "prose question title word dialogue list capitals repeated code log numbers address emoji markup empty "
        "whitespace unicode composed"
    )
    words = [len(text.text.split()) for text in texts]
    assert min(words) == 0
    assert max(words) > 2500, "about 4,000 tokens of an English BERT"
    # Around the chunk of 128 tokens and the 512 rows of the position table there must be some.
    assert sum(80 < n < 120 for n in words) > 5
    assert sum(300 < n < 500 for n in words) > 3


def test_the_language_of_a_built_in_text_is_that_of_its_script() -> None:
    scripts = {
        "ru": {"Cyrillic"}, "el": {"Greek"}, "ar": {"Arabic"}, "he": {"Hebrew"}, "hi": {"Devanagari"}, "zh": {"Han"},
        "ja": {"Hiragana", "Katakana", "Han"}, "ko": {"Hangul"}, "th": {"Thai"},
    }  # fmt: skip
    for text in builtin_texts():
        if text.language != "none":
            assert script_of(text.text) in scripts.get(text.language, {"Latin"}), text


def test_the_built_in_file_is_plain_data() -> None:
    for line in BUILTIN.read_text(encoding="utf-8").splitlines():
        assert set(json.loads(line)) == {"kind", "language", "text"}
        hidden = [c for c in line if unicodedata.category(c) in ("Cc", "Cs", "Co", "Zl", "Zp") or c in "\u200b\u202e"]
        assert not hidden, line  # what cannot be seen is written as an escape


def test_the_built_in_texts_are_the_same_in_every_process() -> None:
    code = "from lam_export.evidence.corpus import read_corpus; print(read_corpus().sha256)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7", "PYTHONUTF8": "0"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert found.stdout.strip() == read_corpus().sha256, found.stderr


def test_every_built_in_text_can_be_tokenised(tiny_checkpoint_folder: Path) -> None:
    tokenizer = Tokenizer((tiny_checkpoint_folder / "tokenizer.json").read_bytes(), 128)
    lengths = [len(ids) for ids in tokenizer.encode([text.text for text in builtin_texts()])]
    assert min(lengths) == 2
    assert max(lengths) > 4000


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("A short Latin text with one слово", "Latin"),
        ("Москва", "Cyrillic"),
        ("图书馆 Library 星期一闭馆，图书", "Han"),
        ("１２３ ＡＢＣ", "Latin"),
        ("\U0001d4ec\U0001d4fe", "Latin"),
        ("e\u0301", "Latin"),
        ("한국어", "Hangul"),
        ("12:30 – 14:00 👍", "none"),
        ("", "none"),
        ("\ud800", "none"),
        ("\ud800a", "Latin"),
    ],
)
def test_the_script_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_a_script_for_any_character() -> None:
    generator = random.Random(0)
    for _ in range(300):
        assert script_of("".join(chr(generator.randint(0, 0x10FFFF)) for _ in range(50))).isprintable()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.txt", "one\nдва\none\n\n"),
        ("t.jsonl", '"one"\n{"text": "два"}\n"one"\n""\n'),
        ("t.csv", 'text,stars\none,1\nдва,2\none,3\n"",4\n'),
    ],
)
def test_a_users_file(tmp_path: Path, name: str, content: str) -> None:
    corpus = read_corpus(written(tmp_path / name, content), builtin=False)
    assert corpus.texts == (Text("one", "file", "Latin"), Text("два", "file", "Cyrillic"), Text("", "file", "none"))
    assert corpus.sources == (name,)
    assert corpus.pairs == ()


def test_another_column(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", "id,body\n1,one\n")
    assert "--column" in refusal(file)
    assert read_corpus(file, builtin=False, column="body").texts == (Text("one", "file", "Latin"),)


def test_all_sources_together_keep_each_text_once(tmp_path: Path) -> None:
    known = next(text for text in builtin_texts() if text.kind == "prose")
    texts = written(tmp_path / "t.txt", f"{known.text}\nA dog runs.\n")
    corpus = read_corpus(texts, written(tmp_path / "s.csv", PLAIN))
    assert corpus.sources == ("built-in", "t.txt", "s.csv")
    assert len({text.text for text in corpus.texts}) == len(corpus.texts)
    assert corpus.texts[: len(builtin_texts())] == tuple(builtin_texts())
    assert [text.kind for text in corpus.texts if text.text in (known.text, "A dog runs.")] == ["prose", "file"]
    assert pairs_of(corpus) == ROWS


@pytest.mark.parametrize("header", ["", "sentence1,sentence2,score\n", '"a","b","similarity, 0 to 5"\r\n'])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_pairs_with_and_without_a_header(tmp_path: Path, header: str, mark: str) -> None:
    corpus = read_corpus(sts=written(tmp_path / "s.csv", mark + header + PLAIN), builtin=False)
    assert pairs_of(corpus) == ROWS
    assert len(corpus.texts) == 5
    assert corpus.texts[0] == Text("A dog runs.", "sts", "Latin")


def test_a_pair_of_the_same_sentence(tmp_path: Path) -> None:
    corpus = read_corpus(sts=written(tmp_path / "s.csv", "a,a,5\n"), builtin=False)
    assert corpus.pairs == ((0, 0, 5.0),)


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        ("", None, "none"),
        ("sentence1,sentence2,score\n", None, "none"),
        ("a,b\n", 1, "2 fields"),
        ("a\tb\t3.0\n", 1, "1 field;"),
        ("a,b,3\nc,d,4,5\n", 2, "4 fields"),
        ("a,b,3\n\nc,d,4\n", 2, "an empty line"),
        ("a,b,3\nc,d,high\n", 2, "'high'"),
        ("s1,s2,score\na,b,nan\n", 2, "'nan'"),
        ("a,b,inf\n", 1, "'inf'"),
        ('a,"b\nc",3\nd,e,f\x1b[31m\n', 3, "'f\\x1b[31m'"),
        ('a,b,3\n"c,d,4\ne,f,5\n', 2, "a broken CSV row"),
        ('a,"b" c,3\n', 1, "a broken CSV row"),
        (b"a,b,3\nd,\xe9,4\n", 2, "byte 0xe9"),
        (b"\xff\xfea\x00,\x00", 1, "byte 0xff"),
    ],
)
def test_broken_pairs_are_refused(tmp_path: Path, content: str | bytes, line: int | None, found: str) -> None:
    message = refusal(sts=written(tmp_path / "s.csv", content))
    assert f"{tmp_path / 's.csv'}{f', line {line}' if line else ''}: expected" in message
    assert f"found {found}" in message


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "No such file" in refusal(sts=tmp_path / "none.csv")
    assert "No such file" in refusal(tmp_path / "none.txt")
    assert "directory" in refusal(sts=tmp_path)


def test_no_text_at_all(tmp_path: Path) -> None:
    assert "found none in no source" in refusal()
    assert "found none in t.txt" in refusal(written(tmp_path / "t.txt", ""))


def test_rubbish_is_read_or_refused(tmp_path: Path) -> None:
    generator = random.Random(0)
    pieces = ["a", ",", "\n", '"', "1.5", "\r", "é", "\0", "\u2028", "слово", " ", "\ufeff", "1e999", "-"]
    for _ in range(300):
        file = written(tmp_path / "s.csv", "".join(generator.choices(pieces, k=generator.randint(0, 30))))
        try:
            pairs = read_corpus(sts=file, builtin=False).pairs
        except LamError as error:
            message = str(error)
        else:
            message = f"{len(pairs)} pairs"
            assert pairs
        assert message.isprintable()


def test_the_hash_is_over_texts_and_their_order() -> None:
    def sha256(*texts: str) -> str:
        return Corpus(tuple(Text(text, "file", "Latin") for text in texts), (), ()).sha256

    hashes = [
        sha256("ab", "c"),
        sha256("a", "bc"),
        sha256("abc"),
        sha256("c", "ab"),
        sha256('ab", "c'),
        sha256("\ud800"),
    ]
    assert len(set(hashes)) == len(hashes)
    assert Corpus((Text("a", "file", "Latin"),), ((0, 0, 1.0),), ("x",)).sha256 == sha256("a")
