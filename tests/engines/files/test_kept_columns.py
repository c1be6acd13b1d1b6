"""Columns that go from the input into the output, and rows without a readable text; read back as users read them."""

import base64
import datetime
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lam_engines.errors import InputError
from lam_engines.files import OutputError, Reading, open_writer, read_rows, read_texts
from lam_engines.files.reasons import open_reasons

KEPT = ("id", "price")
CSV = 'id,text,price\n007,"a, b",4\n8,"two\nlines",\n'
JSON_ROWS = [
    {"id": 2**63 + 1, "text": "a", "price": 4.5, "tags": ["x", None]},
    {"id": -1, "text": "b", "price": None},
    {"text": "c", "price": True, "id": {"a": "\ud800", "\udc00": 1}},
]


def through(source: Path, output: Path, reading: Reading) -> None:
    """Read rows and write them with embeddings of their numbers."""
    with read_rows(source, reading) as reader, open_writer(output, 2, kept=reader.kept_types) as writer:
        for row in reader:
            writer.write([row.text], np.full((1, 2), writer.rows, np.float32), [row.kept])


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_a_csv_can_be_joined_back(tmp_path: Path, name: str) -> None:
    content = CSV.replace(",text,", "\ttext\t").replace(',"', '\t"').replace('",', '"\t') if "tsv" in name else CSV
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if "gz" in name else content.encode())
    through(path, tmp_path / "out.parquet", Reading(keep=KEPT))
    through(path, tmp_path / "out.jsonl", Reading(keep=KEPT))
    source = pd.read_csv(path, sep="\t" if "tsv" in name else ",", dtype=str, keep_default_na=False)
    for found in (
        pd.read_parquet(tmp_path / "out.parquet"),
        pd.DataFrame(map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())),
    ):
        assert list(found.columns) == ["id", "price", "text", "embedding"]
        joined = source.merge(found, on=["id", "text", "price"])
        assert [list(vector) for vector in joined["embedding"]] == [[0, 0], [1, 1]]


def test_json_values_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in JSON_ROWS) + '{"text": "d", "price": NaN, "id": 1e999}')
    through(path, tmp_path / "out.jsonl", Reading(keep=("price", "tags"), id_column=None))
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [row["price"] for row in found] == [4.5, None, True, None]
    assert [row["tags"] for row in found] == [["x", None], None, None, None]
    through(path, tmp_path / "ids.jsonl", Reading(keep=("id",)))
    ids = [json.loads(line)["id"] for line in (tmp_path / "ids.jsonl").read_text().splitlines()]
    assert ids == [2**63 + 1, -1, {"a": "\ufffd", "\ufffd": 1}, None]
    through(path, tmp_path / "out.parquet", Reading(keep=("id", "price")))
    columns = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert columns["price"] == ["4.5", None, "true", None]
    assert columns["id"][:2] == [str(2**63 + 1), "-1"]


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq")
def test_jq_and_arrow_read_the_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(rb'{"id": "\ud83d", "text": "\udc00 x", "n": NaN}' + b"\n")
    through(path, tmp_path / "out.jsonl", Reading(keep=("id", "n")))
    for program in (["jq", "-c", "[.id, .text, .n, .embedding]"],):
        out = subprocess.run([*program, tmp_path / "out.jsonl"], capture_output=True, text=True, check=True).stdout
        assert json.loads(out) == ["\ufffd", "\ufffd x", None, [0, 0]]
    import pyarrow.json

    assert pyarrow.json.read_json(tmp_path / "out.jsonl")["text"].to_pylist() == ["\ufffd x"]
    assert pd.read_json(tmp_path / "out.jsonl", lines=True)["id"].tolist() == ["\ufffd"]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    times = pa.array([1, 1_700_000_000_000_000_001, None], pa.timestamp("ns", tz="UTC"))
    columns = {
        "id": pa.array([1, 2, 3], pa.uint16()),
        "when": times,
        "word": pa.array(["x", "y", None]).dictionary_encode(),
        "deep": pa.array([[{"a": 1}], [], None]),
        "raw": pa.array([b"\xff", b"", None]),
        "exact": pa.array([1, 2, None], pa.decimal128(9, 2)),
        "day": pa.array([datetime.date(2024, 2, 29), None, None]),
    }
    pq.write_table(table(text=["a", "b", "c"], **columns), tmp_path / "a.parquet")
    reading = Reading(keep=tuple(columns))
    through(tmp_path / "a.parquet", tmp_path / "out.parquet", reading)
    found = pq.read_table(tmp_path / "out.parquet")
    for name, column in columns.items():
        kind = pa.string() if name == "word" else column.type
        assert found.schema.field(name).type == kind
        assert (
            found[name].cast(pa.int64() if name == "when" else kind).to_pylist()
            == (column.cast(pa.int64()) if name == "when" else column).to_pylist()
        )
    through(tmp_path / "a.parquet", tmp_path / "out.jsonl", reading)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert base64.b64decode(rows[0]["raw"]) == b"\xff"
    assert (rows[0]["day"], rows[0]["exact"], rows[2]["exact"]) == ("2024-02-29", "1.00", None)
    assert pd.Timestamp(rows[1]["when"]).value == 1_700_000_000_000_000_001
    assert (rows[0]["deep"], rows[2]["word"]) == ([{"a": 1}], None)


def test_times_that_python_does_not_have(tmp_path: Path) -> None:
    """Years out of its range, nanoseconds, and zones that a machine without a database of them does not know."""
    columns = {
        "early": pa.array([-800_000], pa.date32()),
        "late": pa.array([569_000_000_000_000], pa.timestamp("ms")),
        "there": pa.array([1_700_000_000_000_000_001], pa.timestamp("ns", tz="Mars/Phobos")),
        "clock": pa.array([1], pa.time64("ns")),
        "span": pa.array([1], pa.duration("ns")),
    }
    pq.write_table(table(text=["a"], **columns), tmp_path / "a.parquet")
    through(tmp_path / "a.parquet", tmp_path / "out.jsonl", Reading(keep=tuple(columns)))
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert {name: row[name] for name in columns} == {
        "early": "-0221-09-04",
        "late": "20000-11-22 03:33:20.000",
        "there": "2023-11-14 22:13:20.000000001Z",
        "clock": "00:00:00.000000001",
        "span": "1 ns",
    }
    through(tmp_path / "a.parquet", tmp_path / "out.parquet", Reading(keep=tuple(columns)))
    found = pq.read_table(tmp_path / "out.parquet")
    assert all(found[name].combine_chunks().equals(column) for name, column in columns.items())


def test_files_of_unlike_types_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(table(text=["a"], id=pa.array([1])), tmp_path / "in" / "1.parquet")
    pq.write_table(table(text=["b"], id=pa.array(["x"])), tmp_path / "in" / "2.parquet")
    with pytest.raises(InputError, match="expected int64 in column 'id' as in the first file"):
        through(tmp_path / "in", tmp_path / "out.parquet", Reading(keep=("id",)))


@pytest.mark.parametrize(
    ("reading", "output", "part"),
    [
        (Reading(keep=("none",)), "out.jsonl", "expected one column 'none', found 3 columns"),
        (Reading(keep=("id",)), "out.npy", "expected a .jsonl or .parquet output for the kept columns"),
        (Reading(column="price", keep=("text",)), "out.jsonl", "beside text and embedding"),
        (Reading(delimiter=";;"), "out.jsonl", "one character for --delimiter"),
        (Reading(delimiter=";"), "out.jsonl", "separated by ';', found only 'id,text,price'"),
        (Reading(format="json"), "out.jsonl", "expected --format txt, jsonl"),
        (Reading(format="txt", keep=("id",)), "out.jsonl", "found --keep"),
        (Reading(format="jsonl", delimiter=";"), "out.jsonl", "no --delimiter for jsonl"),
        (Reading(id_column="price"), "out.jsonl", "a.csv, line 3: expected a value in 'price', found none"),
    ],
)
def test_what_cannot_be_kept(tmp_path: Path, reading: Reading, output: str, part: str) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    with pytest.raises((InputError, OutputError), match=part.replace(".", "\\.")):
        through(tmp_path / "a.csv", tmp_path / output, reading)
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("spelled", ["\t", "tab", "\\t"])
def test_delimiters(tmp_path: Path, spelled: str) -> None:
    (tmp_path / "a.csv").write_text("id;text\n1;a,b\n")
    assert [row.text for row in read_rows(tmp_path / "a.csv", Reading(delimiter=";"))] == ["a,b"]
    (tmp_path / "b.csv").write_text("id\ttext\n1\ta,b\n")
    assert [row.text for row in read_rows(tmp_path / "b.csv", Reading(delimiter=spelled))] == ["a,b"]


BAD = {
    "a.jsonl": (b'"one"\n\n{"n": 1}\n"\xff"\nnull\n[\n"two"\n\n', [2, 3, 4, 5, 6]),
    "a.csv": (b"id,text\n1,one\n2\n3,\xff\n\n4,two,x\n5,two\n", [2, 3, 4, 5]),
    "a.txt": (b"one\n\xe9\ntwo", [2]),
    "a.tsv": (b"id\ttext\n1\tone\n2\n3\ttwo\n", [2]),
}


@pytest.mark.parametrize("name", [*BAD, "a.parquet"])
def test_rows_without_a_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        offsets = pa.array([0, 3, 5, 5, 8], pa.int32()).buffers()[1]
        nulls = pa.array([True, True, False, True]).buffers()[1]
        texts = pa.StringArray.from_buffers(4, offsets, pa.py_buffer(b"one\xff\xfetwo"), nulls)
        pq.write_table(pa.table({"text": texts}), path)
        bad = [2, 3]
    else:
        content, bad = BAD[name]
        path.write_bytes(content)
    with pytest.raises(InputError):
        list(read_texts(path))
    told: list[tuple[int, str]] = []

    def report(row: int, kept: Mapping[str, Any], error: InputError) -> None:
        told.append((row, str(error)))

    assert [row.text for row in read_rows(path, Reading(on_error="skip"), report)] == ["one", "two"]
    assert [row for row, _ in told] == bad
    assert all(str(path) in reason or reason.startswith("row") for _, reason in told)
    texts = [row.text for row in read_rows(path, Reading(on_error="empty"))]
    assert (texts[0], texts[-1]) == ("one", "two")
    assert texts[1:-1] == [""] * len(bad)


def test_a_broken_quote_ends_the_run_whatever_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,"a" b\n2,c\n3,"open\n4,d\n')
    for allowed in ("skip", "empty", "fail"):
        with pytest.raises(InputError, match=r"line 2: .* close the quotes"):
            list(read_rows(tmp_path / "a.csv", Reading(on_error=allowed)))


def test_reasons_are_written_with_what_names_the_row(tmp_path: Path) -> None:
    place = tmp_path / "out.jsonl.errors.jsonl"
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "x", "text": "a"}\n{"id": "\\ud800"}\n')
    with open_reasons(place) as reasons:
        list(read_rows(path, Reading(on_error="skip", id_column="id"), reasons.add))
        assert not place.exists(), "whole or not at all"
    (line,) = place.read_text().splitlines()
    assert json.loads(line)["row"] == 2
    assert json.loads(line)["id"] == "\ufffd"
    assert "found 1 key" in json.loads(line)["reason"]
    with pytest.raises(InputError, match="replace both with --force"), open_reasons(place, force=False):
        pass
    with open_reasons(place):
        pass
    assert not place.exists(), "that of an earlier run is gone"
