"""Embeddings to files: exact, streamed, and all or nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lam_engines.errors import EngineError
from lam_engines.files import OutputError, open_writer, read_texts

HIDDEN = 6
SUFFIXES = [".npy", ".jsonl", ".parquet"]
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.tuples(st.text(), st.lists(FINITE, min_size=HIDDEN, max_size=HIDDEN)))

each_format = pytest.mark.parametrize("suffix", SUFFIXES)


def embeddings(rows: int, hidden: int = HIDDEN) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, hidden)).astype(np.float32)


def load(path: Path) -> np.ndarray:
    """The embeddings in a file, as someone else's tools read them."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".jsonl":
        rows = [json.loads(line)["embedding"] for line in path.read_bytes().splitlines()]
    else:
        rows = pq.read_table(path)["embedding"].to_pylist()
    return np.array(rows, np.float32).reshape(len(rows), HIDDEN)


def run(code: str, path: Path, launcher: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a process of its own, with ``path`` as a variable."""
    head = (
        "import os, resource, signal, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from lam_engines.files import OutputError, open_writer\n"
        "path = Path(sys.argv[1])\n"
    )
    return subprocess.run([*launcher, sys.executable, "-c", head + code, path], capture_output=True, text=True)


@settings(max_examples=50)
@each_format
@given(rows=ROWS, batch=st.integers(1, 4))
def test_round_trip_is_exact(suffix: str, rows: list[tuple[str, list[float]]], batch: int) -> None:
    texts = [text for text, _ in rows]
    vectors = np.array([vector for _, vector in rows], np.float32).reshape(-1, HIDDEN)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"out{suffix}")
        with open_writer(path, HIDDEN) as writer:
            for start in range(0, len(texts), batch):
                writer.write(texts[start : start + batch], vectors[start : start + batch])
        found = load(path)
        # Bits, because 0.0 == -0.0.
        np.testing.assert_array_equal(found.view(np.uint32), vectors.view(np.uint32))
        assert found.dtype == np.float32
        if suffix != ".npy":
            assert list(read_texts(path)) == texts


@each_format
def test_no_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with open_writer(path, HIDDEN) as writer:
        writer.write([], np.empty((0, HIDDEN), np.float32))
    assert load(path).shape == (0, HIDDEN)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_npy_can_be_mapped(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "out.npy"
    with open_writer(path, HIDDEN) as writer:
        writer.write([""] * rows, embeddings(rows))
    mapped = np.load(path, mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, embeddings(rows))


def test_jsonl_has_the_fewest_digits_and_only_ascii(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with open_writer(path, 4) as writer:
        writer.write(["é\u2028\n"], np.array([[0.1, -0.0, 1e-30, 1 / 3]], np.float32))
    assert path.read_text() == '{"text": "\\u00e9\\u2028\\n", "embedding": [0.1, -0.0, 1e-30, 0.33333334]}\n'


def test_parquet_has_the_promised_types_and_few_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with open_writer(path, HIDDEN) as writer:
        for _ in range(500):
            writer.write(["text"], embeddings(1))
    file = pq.ParquetFile(path)
    assert file.schema_arrow.equals(pa.schema({"text": pa.string(), "embedding": pa.list_(pa.float32(), HIDDEN)}))
    assert (file.num_row_groups, file.metadata.num_rows) == (1, 500)


@each_format
def test_the_array_may_be_used_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    buffer = np.ones((2, HIDDEN), np.float32)
    with open_writer(path, HIDDEN) as writer:
        writer.write(["a", "b"], buffer)
        buffer[:] = 2
        writer.write(["c", "d"], buffer)
        wide = np.repeat(buffer, 2, axis=1)
        writer.write(["e", "f"], wide[:, ::2])  # not contiguous
    assert load(path)[:, 0].tolist() == [1, 1, 2, 2, 2, 2]


@each_format
def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("earlier")
    with pytest.raises(OutputError, match="--force"), open_writer(path, HIDDEN):
        pass
    assert path.read_text() == "earlier"
    with open_writer(path, HIDDEN, force=True) as writer:
        writer.write(["x"], embeddings(1))
        assert path.read_text() == "earlier"
    np.testing.assert_array_equal(load(path), embeddings(1))
    assert os.listdir(tmp_path) == [path.name]


@each_format
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_exception_leaves_the_earlier_file(tmp_path: Path, suffix: str, error: type[BaseException]) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("earlier")
    with pytest.raises(error), open_writer(path, HIDDEN, force=True) as writer:
        writer.write(["x"] * 1000, embeddings(1000))
        raise error
    assert path.read_text() == "earlier"
    assert os.listdir(tmp_path) == [path.name]


@each_format
def test_a_killed_process_leaves_the_earlier_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("earlier")
    code = (
        "with open_writer(path, 6, force=True) as writer:\n"
        "    for _ in range(100): writer.write(['x'] * 1000, np.ones((1000, 6), 'f4'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run(code, path).returncode == -signal.SIGKILL
    assert path.read_text() == "earlier"


# Writes without end; prints the error, and what the folder then holds.
FILL = """
path.write_text("earlier")
try:
    with open_writer(path, 384, force=True) as writer:
        while True:
            writer.write(["some text"] * 100, np.full((100, 384), 0.1, "f4"))
except OutputError as error:
    print(error)
print(os.listdir(path.parent), path.read_text())
"""


def check_filled(result: "subprocess.CompletedProcess[str]", path: Path, reason: str) -> None:
    assert (result.returncode, result.stderr) == (0, "")
    message, rest = result.stdout.splitlines()
    parts = [str(path), reason, "1000 rows take about", f"make room in {path.parent}"]
    assert [part for part in parts if part not in message] == []
    assert rest == f"['{path.name}'] earlier"


@each_format
def test_a_limit_on_the_size_of_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    check_filled(run(limit + FILL, path), path, "File too large")


@each_format
def test_a_full_disk(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    # A file system of one megabyte, seen by the one process alone and gone with it.
    mount = f"mount -t tmpfs -o size=1m none '{tmp_path}' && exec \"$@\""
    launcher = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if not shutil.which("unshare") or subprocess.run([*launcher, "true"], capture_output=True).returncode:
        pytest.skip("needs a user namespace in which a tmpfs can be mounted")
    check_filled(run(FILL, path, launcher), path, "No space left on device")


@pytest.mark.parametrize(
    ("vectors", "found"),
    [
        (np.zeros((2, HIDDEN + 1), np.float32), "float32 [2, 7]"),
        (np.zeros((3, HIDDEN), np.float32), "float32 [3, 6]"),
        (np.zeros((2, HIDDEN)), "float64 [2, 6]"),
        (np.array([[0] * HIDDEN, [np.nan] * HIDDEN], np.float32), "row 12: expected finite"),
        (np.array([[np.inf] * HIDDEN, [0] * HIDDEN], np.float32), "row 11: expected finite"),
    ],
)
@each_format
def test_embeddings_that_cannot_be_right(tmp_path: Path, suffix: str, vectors: np.ndarray, found: str) -> None:
    path = tmp_path / f"out{suffix}"
    with pytest.raises(EngineError) as caught, open_writer(path, HIDDEN) as writer:
        writer.write(["text"] * 10, embeddings(10))
        writer.write(["a", "b"], vectors)
    assert found in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("out.csv", [".npy or .jsonl or .parquet", "out.csv"]),
        ("out", [".npy or .jsonl or .parquet"]),
        ("none/out.npy", ["none", "mkdir -p"]),
        ("folder.npy", ["folder.npy", "name a file in it"]),
        ("file/out.npy", ["expected a folder at"]),
        ("x" * 300 + ".npy", ["File name too long"]),
    ],
)
def test_places_that_cannot_be_written_to(tmp_path: Path, name: str, parts: list[str]) -> None:
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught, open_writer(tmp_path / name, HIDDEN, force=True):
        pass
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert [part for part in parts if part not in message] == []
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.npy"]


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "out.parquet"
    with pytest.raises(OutputError, match=r"pip install .*\[parquet\]'"), open_writer(path, HIDDEN):
        pass


def test_a_link_is_followed_and_the_umask_kept(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.npy"
    link = tmp_path / "out.npy"
    link.symlink_to(target)
    with open_writer(link, HIDDEN) as writer:
        writer.write(["x"], embeddings(1))
    assert link.is_symlink()
    np.testing.assert_array_equal(np.load(target), embeddings(1))
    plain = tmp_path / "plain"
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(("suffix", "batches"), [(".npy", 2000), (".jsonl", 15), (".parquet", 500)])
def test_memory_is_constant(tmp_path: Path, suffix: str, batches: int) -> None:
    batch = np.full((64, 384), 0.5, np.float32)  # 98 KB; 2000 of them are 197 MB
    most_in_arrow = 0
    tracemalloc.start()
    try:
        with open_writer(tmp_path / f"out{suffix}", 384) as writer:
            for _ in range(batches):
                writer.write(["text"] * 64, batch)
                most_in_arrow = max(most_in_arrow, pa.total_allocated_bytes())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Parquet holds one row group of 16 MB.
    assert peak + most_in_arrow < (25_000_000 if suffix == ".parquet" else 2_000_000)
