"""Texts from files: what comes out is what was written, and every mistake is named with its line or row."""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lam_engines.errors import InputError
from lam_engines.files import Reading, read_rows, read_texts

BOM = b"\xef\xbb\xbf"
HUGE = "wörd " * 1_000_000  # 5 million characters
# Looks like a line end to str.splitlines(), but ends no line here.
NO_LINE_END = "a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i"
# Python 3.10's csv refuses NUL.
CSV_TEXT = st.text() if sys.version_info >= (3, 11) else st.text(st.characters(exclude_characters="\0"))

NOISE = random.Random(0).randbytes(10**6).hex().encode()


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def read(name: str, content: bytes, column: str | None = None) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return list(read_texts(path, column))


def parquet(*columns: pa.Array, names: tuple[str, ...] = ("text",), row_group_size: int | None = None) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(list(columns), names=list(names)), file, row_group_size=row_group_size)
    return file.getvalue()


def not_utf8() -> pa.Array:
    offsets = pa.array([0, 2, 4], pa.int32()).buffers()[1]
    return pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"ok\xff\xfe"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (BOM, []),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"\n", [""]),
        (b"one\n\n", ["one", ""]),
        (b"a\nb\r\nc\rd", ["a", "b", "c", "d"]),
        (b"a\r\r\nb\n\rc", ["a", "", "b", "", "c"]),
        (BOM + "é\n\ufeff".encode(), ["é", "\ufeff"]),
        (NO_LINE_END.encode() + b"\nnext", [NO_LINE_END, "next"]),
        ((HUGE + "\nnext").encode(), [HUGE, "next"]),
    ],
)
def test_txt(content: bytes, expected: list[str]) -> None:
    assert read("texts.txt", content) == expected


@pytest.mark.parametrize("size", [8190, 8191, 8192, 8193])
def test_a_line_end_or_a_character_on_the_edge_of_a_block_stays_whole(size: int) -> None:
    assert read("texts.txt", b"x" * size + b"\r\n" + "é\n".encode() * 5000) == ["x" * size] + ["é"] * 5000


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_txt_round_trip(texts: list[str], end: str) -> None:
    assert read("texts.txt", BOM + "".join(text + end for text in texts).encode()) == texts


@given(st.lists(st.text()), st.booleans(), st.booleans())
def test_jsonl_round_trip(texts: list[str], ascii_only: bool, in_objects: bool) -> None:
    values = [{"id": 1, "text": text} if in_objects else text for text in texts]
    lines = "".join(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in values)
    assert read("texts.jsonl", lines.encode()) == texts


@given(st.lists(st.tuples(CSV_TEXT, CSV_TEXT)), st.booleans())
def test_csv_round_trip(rows: list[tuple[str, str]], bom: bool) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("note", "text"), *rows])
    content = BOM * bom + file.getvalue().encode()
    assert read("texts.csv", content) == [text for _, text in rows]
    assert read("texts.csv", content, "note") == [note for note, _ in rows]


@settings(max_examples=50)
@given(st.lists(st.text()), st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]))
def test_parquet_round_trip(texts: list[str], kind: pa.DataType) -> None:
    column = (
        pa.array(texts, kind.value_type).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(texts, kind)
    )
    assert read("texts.parquet", parquet(pa.array(range(len(texts))), column, names=("id", "text"))) == texts


def test_parquet_of_many_batches_and_row_groups() -> None:
    texts = [f"text {i}" for i in range(3000)]
    assert read("texts.parquet", parquet(pa.array(texts), row_group_size=700)) == texts


def test_huge_texts_in_every_format() -> None:
    assert read("texts.jsonl", json.dumps(HUGE).encode()) == [HUGE]
    assert read("texts.csv", b"text\n" + HUGE.encode() + b"\n") == [HUGE]
    assert read("texts.parquet", parquet(pa.array([HUGE]))) == [HUGE]


@pytest.mark.parametrize(
    ("name", "content", "column", "expected"),
    [
        ("a.jsonl", b'"plain"\n{"text": "object", "other": [1, {}]}\r\n', None, ["plain", "object"]),
        ("a.jsonl", b'{"body": "x", "text": 3}', "body", ["x"]),
        ("a.jsonl", b'{"n": ' + b"9" * 10_000 + b', "text": "after a long number"}', None, ["after a long number"]),
        ("a.jsonl", rb'"\ud800 \udc00 \ud83d\ude00 a\ud83d"', None, ["\ufffd \ufffd \U0001f600 a\ufffd"]),
        ("a.csv", b'body\n"a,b"\n"two\r\nlines"\n""\n', "body", ["a,b", "two\r\nlines", ""]),
        ("a.csv", b"id,text\r1,a\r2,b", None, ["a", "b"]),
        ("a.csv", b"a;b\n1;2\n", "a;b", ["1;2"]),
        ("a.csv", b"text\n", None, []),
        ("a.csv", b"", None, []),  # as frameworks write an empty part of a table
        ("a.csv", b"id,text\n1,a\n\n  \n\r\n", None, ["a"]),
        ("a.csv", b'text\n""\n \n\n', None, ["", " "]),
        ("a.jsonl", b'"x"\n\n \t\n', None, ["x"]),
        ("a.jsonl", b"\n", None, []),
        ("a.ndjson", b'"x"\n', None, ["x"]),
        ("a.tsv", b"id\ttext\n1\ta,b\n", None, ["a,b"]),
        ("a.jsonl.gz", gz(b'"x"\n') + gz(b'"y"\n'), None, ["x", "y"]),
        ("A.CSV.GZ", gz(b"id,text\n1,a\n"), None, ["a"]),
        ("a.txt.bz2", bz2.compress(b"a\nb"), None, ["a", "b"]),
        ("a.tsv.xz", lzma.compress(b"id\ttext\n1\ta\n"), None, ["a"]),
        ("a.jsonl.zst", pa.compress(b'"x"\n', "zstd", asbytes=True) * 2, None, ["x", "x"]),
        ("A.TXT", b"x", None, ["x"]),
        ("a.parquet", parquet(pa.array(["x"]), names=("body",)), None, ["x"]),
        ("a.parquet", parquet(pa.array(["x"]), pa.array(["y"]), names=("a.b", "a")), "a", ["y"]),
        ("a.parquet", parquet(pa.array([], pa.string())), None, []),
    ],
)
def test_forms_that_are_understood(name: str, content: bytes, column: str | None, expected: list[str]) -> None:
    assert read(name, content, column) == expected


@pytest.mark.parametrize(
    ("name", "content", "column", "parts"),
    [
        ("a.json", b"", None, [".jsonl", ".parquet", "a.json"]),
        ("a.txt", b"x", "body", ["a.txt", "'body'", "leave it out"]),
        ("a.txt", b"ok\nok\rb\xe9d\n", None, ["a.txt, line 3:", "0xe9 after 1 characters", "iconv"]),
        ("a.txt", "utf-16".encode("utf-16"), None, ["line 1:", "UTF-8"]),
        ("a.txt", b"\xed\xa0\x80", None, ["line 1:", "UTF-8"]),  # a lone surrogate in bytes
        ("a.jsonl", b'"x"\n{"text": \n', None, ["a.jsonl, line 2:", "no valid JSON", "column 10"]),
        ("a.jsonl", b'"x" "y"\n', None, ["line 1:", "no valid JSON"]),
        ("a.jsonl", b'"x"\n\n"y"', None, ["line 2:", "empty line"]),
        ("a.jsonl", b"[" * 100_000, None, ["line 1:", "nested"]),
        ("a.jsonl", b"3", None, ["line 1:", "a number"]),
        ("a.jsonl", b"null", None, ["line 1:", "null"]),
        ("a.jsonl", b'[{"text": "x"}]', None, ["line 1:", "an array", "jq -c .[]"]),
        ("a.jsonl", b'{\n"text": "x"\n}', None, ["line 1:", "no valid JSON", "jq -c ."]),
        ("a.csv", b"a first text\nand another\n", None, ["1 column: 'a first text'", "--column", "write a header row"]),
        ("a.jsonl", b'{"text": ["x"]}', None, ["line 1:", "an array", "'text'"]),
        ("a.jsonl", b'{"id": 1, "body\\n": "x"}', None, ["2 keys: 'id', 'body\\n'", "--column NAME"]),
        ("a.jsonl", b'"ok"\n"\xff"', None, ["line 2:", "UTF-8"]),
        ("a.csv", b"\ntext\n", None, ["line 1:", "header"]),
        ("a.csv", b"id,body\n", None, ["'text'", "2 columns: 'id', 'body'", "--column NAME"]),
        ("a.csv", b"text\n", "body", ["'body'", "1 column: 'text'"]),
        ("a.csv", b"text,text\n", None, ["2 times"]),
        ("a.csv", b"id;text\n1;x\n", None, ["separated by ','", "'id;text'", "--delimiter ';'"]),
        ("a.csv", b"id\ttext\n1\tx\n", None, ["separated by ','", "--delimiter tab"]),
        ("a.tsv", b"id,text\n1,x\n", None, ["separated by tab", "--delimiter ','"]),
        ("a.csv", b"id,text\n1,a\n\n2,b\n", None, ["line 3:", "empty line"]),
        ("a.csv", b"id,text\n\n\n2,b\n", None, ["line 2:", "empty line"]),
        ("a.txt.gz", b"plain", None, ["a.txt.gz", "Not a gzipped file"]),
        ("a.txt.gz", gz(b"x" * 10**6)[:-10], None, ["a.txt.gz", "ended before"]),
        ("a.txt.xz", b"plain", None, ["a.txt.xz"]),
        ("a.txt.xz", lzma.compress(b"x\n" * 10**6)[:-20], None, ["a.txt.xz", "ended before"]),
        ("a.txt.bz2", bz2.compress(NOISE)[:-10], None, ["a.txt.bz2", "ended before"]),
        ("a.txt.zst", b"plain", None, ["a.txt.zst"]),
        ("a.txt.zst", pa.compress(NOISE, "zstd", asbytes=True)[:-10], None, ["a.txt.zst"]),
        ("a.parquet.gz", b"", None, ["a.parquet.gz", "--format csv"]),
        ("-.zip", b"", None, ["--format csv"]),
        ("a.csv", b'id,text\n1,"a\nb"\n2,c,d\n', None, ["a.csv, line 4:", "2 fields", "3 fields", "quote"]),
        ("a.csv", b"id,text\n1\n", None, ["line 2:", "2 fields", "1 field;"]),
        ("a.csv", b"text\na\n\nb\n", None, ["line 3:", "empty line"]),
        ("a.csv", b'text\nok\n"never closed\nx\ny\n', None, ["line 3:", "close the quotes"]),
        ("a.csv", b'text\n"a" b\n', None, ["line 2:", "double those inside"]),
        ("a.csv", b'text\n"a\n\xff"\n', None, ["line 3:", "UTF-8"]),
        ("a.parquet", b"", None, ["a.parquet"]),
        ("a.parquet", b"not parquet " * 9, None, ["a.parquet", "magic bytes"]),
        ("a.parquet", parquet(pa.array(["x", None])), None, ["a.parquet, row 2:", "null"]),
        ("a.parquet", parquet(not_utf8()), None, ["row 2:", "UTF-8"]),
        ("a.parquet", parquet(pa.array([1])), None, ["'text'", "int64", "--column NAME"]),
        ("a.parquet", parquet(pa.array([b"x"])), None, ["binary"]),
        ("a.parquet", parquet(pa.array([1]), pa.array([2]), names=("a", "b")), None, ["2 columns: 'a', 'b'"]),
    ],
)
def test_mistakes_are_named_in_one_line(name: str, content: bytes, column: str | None, parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(name, content, column)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert [part for part in parts if part not in message] == []


def test_texts_before_a_mistake_are_given(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\n\xff\n")
    texts = read_texts(path)
    assert [next(texts), next(texts)] == ["one", "two"]
    with pytest.raises(InputError, match="line 3"):
        next(texts)


def test_damaged_parquet_pages(tmp_path: Path) -> None:
    content = bytearray(parquet(pa.array([f"text {i}" for i in range(1000)])))
    content[4:200] = b"\xff" * 196
    with pytest.raises(InputError, match=r"a\.parquet"):
        read("a.parquet", bytes(content))


@pytest.mark.parametrize(
    ("pack", "remedy"),
    [
        (gzip.compress, "add .gz to the file's name, or to the format: --format csv.gz"),
        (bz2.compress, "add .bz2 to"),
        (lzma.compress, "add .xz to"),
        (lambda content: pa.compress(content, "zstd", asbytes=True), "add .zst to"),
        (lambda content: b"PK\x03\x04\x14\0\x06\0\x08\0\xff" + content, "save it as CSV in UTF-8"),
        (lambda content: content.decode().encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
        (lambda content: content.decode().encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
        (lambda content: content.decode().encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_other_kinds_under_a_text_s_name(
    name: str, pack: Callable[[bytes], bytes], remedy: str, tmp_path: Path
) -> None:
    content = pack(b"a text\n" + b"some words\n" * 9)
    with pytest.raises(InputError, match=r"expected UTF-8, found (byte|a NUL)") as caught:
        read(name, content)
    assert remedy in str(caught.value)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="line 1"):  # no row of it is text, whatever is allowed
        list(read_rows(tmp_path / name, Reading(on_error="skip")))


def test_damaged_parquet_names(tmp_path: Path) -> None:
    content = parquet(pa.array(["text"])).replace(b"text", b"\xa5ext")
    with pytest.raises(InputError, match=r"a\.parquet"):
        read("a.parquet", content)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv", ".parquet"])
def test_missing_files_and_empty_folders_are_refused_before_the_first_text(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_texts(tmp_path / f"none{suffix}")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    with pytest.raises(InputError, match="found none; name another folder, or a file"):
        read_texts(folder)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"pip install .*\[parquet\]'"):
        read_texts(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"one\ntwo\n"),
        ("a.jsonl", b'"one"\n"two"\n'),
        ("a.csv", b"text\none\ntwo\n"),
        ("a.parquet", parquet(pa.array(["one", "two"]))),
    ],
)
def test_progress(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with read_texts(path) as texts:
        assert texts.total == (2 if name == "a.parquet" else len(content))
        assert list(texts) == ["one", "two"]
        assert texts.position == texts.total


def test_standard_input_is_read_as_it_comes_and_left_open() -> None:
    code = (
        "import sys; from pathlib import Path; from lam_engines.files import read_texts\n"
        "with read_texts(Path('-')) as texts:\n"
        "    for text in texts: print(ascii(text), texts.total, flush=True)\n"
        "print(sys.stdin.closed)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("é\n".encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"'\\xe9' None\n"  # while more may follow
        process.stdin.close()
        assert process.stdout.read() == b"False\n"
    closed = subprocess.run(["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True)
    assert "InputError: expected texts on standard input, found it closed" in closed.stderr


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv"])
def test_memory_is_constant(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with path.open("w") as file:
        file.write("" if suffix == ".txt" else '"text"\n')
        for _ in range(4000):
            file.write('"' + "x" * 10_000 + '"\n')  # 40 MB in all
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_texts(path)) >= 4000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_memory_is_constant_within_one_parquet_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{i}" + "x" * 1000 for i in range(40_000)]
    pq.write_table(pa.table({"text": texts}), path, compression="none", use_dictionary=False)
    assert pq.ParquetFile(path).num_row_groups == 1
    before = pa.total_allocated_bytes()
    assert max(pa.total_allocated_bytes() - before for _ in read_texts(path)) < 8_000_000
