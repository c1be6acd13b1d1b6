"""Rows that cannot be embedded: the same ones with the same reasons, whatever embeds them, and in a second run too."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import lam_export, refusal

LIMIT = 16
"""Tokens that the engine takes here. Those of TensorRT have such a limit, by their plan."""
LIMITED = f"""
from lam_engines.errors import InputError
from lam_engines.runtimes.onnxruntime.engine import OnnxRuntimeEngine

def most(engine, tokens):
    if tokens > {LIMIT}:
        raise InputError(f"expected texts of at most {LIMIT} tokens, found one of {{tokens}}")

OnnxRuntimeEngine.max_tokens = {LIMIT}
OnnxRuntimeEngine._max_batch = most
"""
LONG = "the dog runs " * 12
OPTIONS = ("--engine", "onnxruntime", "--id-column", "id", "--max-text-bytes", 2000)
JSON_LINES: list[Any] = [
    {"id": 1, "text": "the dog runs"},
    {"id": 2, "text": None},
    {"id": 3, "text": LONG},
    {"id": 4, "text": "the dog runs 4"},
    b"broken",
    {"id": 6, "text": 6},
    {"id": 7},
    {"text": "no id"},
    b'{"id": 9, "text": "\xff"}',
    {"id": 10, "text": "\ud83d the dog"},
    {"id": 11, "text": "word " * 500},
    {"id": 12, "text": "word " * 1000},
    {"id": 13, "text": "x" * 150},
    {"id": 14, "text": ""},
    {"id": 15, "text": "runs"},
]
JSON_GOOD = ["the dog runs", "the dog runs 4", "\ufffd the dog", "", "runs"]
SAID = [
    "b.jsonl, line 2: expected a JSON string",
    f"b.jsonl, line 3: expected texts of at most {LIMIT} tokens, found one of 38",
    "b.jsonl, line 5: expected a JSON string",
    "b.jsonl, line 6: expected a JSON string",
    "b.jsonl, line 7: expected a JSON string",
    "b.jsonl, line 8: expected a value in 'id'",
    "b.jsonl, line 9: expected UTF-8",
    "b.jsonl, line 11: expected a text of at most 2,000 bytes",
    "b.jsonl, line 12: expected at most 4,000 characters",
    "b.jsonl, line 13: expected a space or line end within 125 characters",
]


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An engine with a limit, in this process and in those that get its ``sys.path``."""
    from lam_engines.runtimes.onnxruntime.engine import OnnxRuntimeEngine

    for name in ("max_tokens", "_max_batch"):
        monkeypatch.setattr(OnnxRuntimeEngine, name, getattr(OnnxRuntimeEngine, name))
    exec(LIMITED, {})
    (tmp_path / "limited").mkdir()
    (tmp_path / "limited" / "sitecustomize.py").write_text(LIMITED)
    monkeypatch.syspath_prepend(tmp_path / "limited")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"id": -1, "text": "one"}\n{"id": -2, "text": "two"}\n')
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in JSON_LINES]
    (folder / "b.jsonl").write_bytes(b"\n".join(lines))
    (folder / "c.jsonl").write_text(f'{{"id": 21, "text": "the"}}\n{json.dumps({"id": 22, "text": LONG})}\n')
    return folder


def reasons(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("part-*")) for row in pq.read_table(path).to_pylist()]


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def embed(*arguments: object) -> str:
    result = lam_export("embed", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.mark.heavy
@pytest.mark.needs("ray")
def test_one_file_a_folder_and_ray(limited: None, tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    command = (tiny_bundle, "--input", source, *OPTIONS, "--on-error", "skip")
    file, folder, ray = tmp_path / "out.jsonl", tmp_path / "out", tmp_path / "ray"
    assert "11 rows had no readable text" in embed(*command, "-o", file)
    several = (*command, "--partition-rows", 2)
    assert "11 rows had no readable text" in embed(*several, "-o", folder)
    assert "11 rows had no readable text" in embed(*several, "-o", ray, "--ray", "--workers", 2)
    written = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["text"] for row in written] == ["one", "two", *JSON_GOOD, "the"]
    assert [(row["id"], row["text"]) for row in rows(folder)] == [(str(row["id"]), row["text"]) for row in written]
    in_file = reasons(Path(f"{file}.errors.jsonl"))
    for one, start in zip(in_file, SAID, strict=False):
        assert one["reason"].startswith(f"{source}/{start}"), one
    assert [one["id"] for one in in_file] == [2, 3, None, 6, 7, None, None, 11, None, 13, 22]
    in_folder = reasons(folder / "_errors.jsonl")
    assert [{**one, "row": 0} for one in in_folder] == [{**one, "row": 0} for one in in_file]
    assert [one["row"] for one in in_folder] == [2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 2], "of each file"

    before = parts(folder)
    assert {**parts(ray), "_plan.json": b""} == {**before, "_plan.json": b""}
    os.utime(source / "b.jsonl")  # the same content, so it is the same input
    (ray / "part-000002.parquet").unlink()
    assert "11 rows had no readable text" in embed(*several, "-o", ray)
    assert {**parts(ray), "_plan.json": b""} == {**before, "_plan.json": b""}


def test_as_the_empty_text(limited: None, tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    command = (tiny_bundle, "--input", source, *OPTIONS, "--on-error", "empty", "-o")
    embed(*command, tmp_path / "out.parquet")
    embed(*command, tmp_path / "out", "--partition-rows", 4)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["text"]) for row in rows(tmp_path / "out")] == [(row["id"], row["text"]) for row in found]
    assert len(found) == 19
    assert sum(not row["text"] for row in found) == 12


def test_the_first_ends_the_run(limited: None, tiny_bundle: Path, tmp_path: Path) -> None:
    """Before anything is embedded, where the output is a folder."""
    pq.write_table(pa.table({"text": ["fine", LONG, None]}), tmp_path / "a.parquet")
    command = ("embed", tiny_bundle, "--engine", "onnxruntime", "--input", tmp_path / "a.parquet", "-o")
    said = f"a.parquet, row 2: expected texts of at most {LIMIT} tokens, found one of 38"
    assert said in refusal(*command, tmp_path / "out.npy")
    assert said in refusal(*command, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.npy").exists()
