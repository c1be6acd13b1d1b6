"""A folder of files of texts, read as one."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lam_engines.errors import InputError
from lam_engines.files import read_texts, text_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "b.jsonl": '"three"\n',
        "a/x.jsonl": '"one"\n"two"\n',
        "c.jsonl": "",
        ".d.jsonl": "no",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "_logs").mkdir()
    (tmp_path / "_logs" / "e.jsonl").write_text("no")
    (tmp_path / "notes.md").write_text("no")
    return tmp_path


def test_files_are_read_in_order_of_their_paths(folder: Path) -> None:
    assert [path.name for path in text_files(folder)] == ["x.jsonl", "b.jsonl", "c.jsonl"]
    with read_texts(folder) as reader:
        assert reader.total == 20
        assert next(reader) == "one"
        assert list(reader) == ["two", "three"]
        assert reader.position == reader.total


def test_a_column_of_all(tmp_path: Path) -> None:
    for i in range(2):
        pq.write_table(pa.table({"text": ["wrong"], "body": [f"body {i}"]}), tmp_path / f"{i}.parquet")
    reader = read_texts(tmp_path, "body")
    assert reader.total == 2
    assert list(reader) == ["body 0", "body 1"]


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "z.csv").write_text("text\none\n")
    with pytest.raises(InputError, match=r"files of one kind .* found \.csv and \.jsonl; keep one kind there"):
        read_texts(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"found none; name another folder, or a file"):
        read_texts(tmp_path / "empty")


def test_a_file_without_the_column_is_found_at_once(tmp_path: Path) -> None:
    for i, column in enumerate(("text", "body")):
        pq.write_table(pa.table({column: ["x"], "n": [1]}), tmp_path / f"{i}.parquet")
    with pytest.raises(InputError, match=r"1\.parquet: expected one column 'text'"):
        read_texts(tmp_path)
