"""Files that unpack to more than memory: refused, or read in pieces."""

import gzip
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lam_engines.errors import InputError
from lam_engines.files import Reading, read_rows

MIB = 1 << 20
SMALL = Reading(max_text_bytes=1000)


def write(path: Path, text: str) -> Path:
    """A file with a short text and this one, in the format of its name."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": ["short", text]}), path)
    else:
        content = {"txt": f"short\n{text}\n", "jsonl": f'"short"\n"{text}"\n', "csv": f"text\nshort\n{text}\n"}
        data = content[path.name.split(".")[1]].encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz"])
@pytest.mark.parametrize(
    "text", ["x y " * 250 + "z", "é " * 334, "😀 " * 201], ids=["ascii", "two bytes", "four bytes"]
)
def test_a_text_that_is_too_large(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(InputError, match="raise --max-text-bytes"):
        list(read_rows(path, SMALL))
    assert [row.text for row in read_rows(path, Reading(max_text_bytes=1000, on_error="skip"))] == ["short"]
    size = len(text.encode())
    assert [row.text for row in read_rows(path, Reading(max_text_bytes=size))] == ["short", text]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.parquet"])
def test_a_text_without_a_gap(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "x" * 63)
    with pytest.raises(InputError, match=r"(line 2|line 3|row 2): expected a space or line end within 62"):
        list(read_rows(path, SMALL))
    write(path, "x" * 62 + " " + "y" * 62)
    assert len(list(read_rows(path, SMALL))) == 2


def test_a_line_that_is_far_too_long_is_left_behind(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "a.txt").write_text(f"a{end}{'x ' * 5000}{end}b{end}", newline="")
        rows = read_rows(tmp_path / "a.txt", Reading(max_text_bytes=1000, on_error="empty"))
        assert [row.text for row in rows] == ["a", "", "b"]


PROGRAM = """
import re, sys
from pathlib import Path
from lam_engines.errors import InputError
from lam_engines.files import Reading, read_rows
try:
    count = sum(len(row.text) for row in read_rows(Path(sys.argv[1]), Reading(keep=tuple(sys.argv[2:]))))
except InputError as error:
    count = str(error)
print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024, count)
"""


def peak(path: Path, *keep: str) -> tuple[int, str]:
    """MiB of a process that reads the file, and what it said."""
    command = [sys.executable, "-c", PROGRAM, str(path), *keep]
    result = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert result.returncode == 0, result.stderr
    used, said = result.stdout.split(" ", 1)
    return int(used), said


@pytest.mark.heavy
def test_small_files_of_large_texts_take_little_memory(tmp_path: Path) -> None:
    large = "x y " * (50 * MIB)  # 200 MiB
    pq.write_table(pa.table({"text": [large]}), tmp_path / "one.parquet", compression="zstd")
    assert (tmp_path / "one.parquet").stat().st_size < 100_000
    used, said = peak(tmp_path / "one.parquet")
    assert "raise --max-text-bytes" in said
    assert used < 1000

    entry = "x y " * (3 * MIB // 2)  # 6 MiB, in a dictionary, for 100 rows
    table = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), [entry])})
    pq.write_table(table, tmp_path / "many.parquet", compression="zstd", dictionary_pagesize_limit=10**9)
    assert (tmp_path / "many.parquet").stat().st_size < 5000
    used, said = peak(tmp_path / "many.parquet")
    assert int(said) == 100 * len(entry)
    assert used < 1000


@pytest.mark.slow
def test_kept_values_and_packed_lines_take_little_memory(tmp_path: Path) -> None:
    entry = "x y " * (3 * MIB // 2)
    table = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), [entry])})
    pq.write_table(table.append_column("more", table["text"]), tmp_path / "kept.parquet", compression="zstd",
                   dictionary_pagesize_limit=10**9)  # fmt: skip
    used, said = peak(tmp_path / "kept.parquet", "more")
    assert used < 1200

    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"x" * (300 * MIB), 1))
    used, said = peak(tmp_path / "a.txt.gz")
    assert "expected at most 134,217,728 characters" in said
    assert used < 1000
    for name, start in (("a.csv.gz", b'text\n"'), ("a.jsonl.gz", b'{"id": "')):
        (tmp_path / name).write_bytes(gzip.compress(start + b"x\n" * (150 * MIB), 1))
        used, said = peak(tmp_path / name)
        assert "expected" in said
        assert used < 1500
