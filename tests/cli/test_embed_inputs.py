"""``lam-export embed`` with what people type and feed it: nothing is taken or lost without a word."""

import gzip
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import MAIN, WIDE, lam_export, refusal

from lam_engines.embedding.engine import EmbeddingEngine

REVIEWS = 'id,text,stars\n007,"Arrived late, works well",4\n8,,1\n9,Would not buy again,2\n'
TEXTS = ["Arrived late, works well", "", "Would not buy again"]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text(REVIEWS)
    return path


def embed(*arguments: object, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    result = lam_export("embed", *arguments, stdin=stdin)
    assert result.returncode == 0, result.stderr
    return result


def process(*arguments: object, **options: Any) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **WIDE, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MAIN, "embed", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, **options)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_options_that_are_given_twice(tiny_bundle: Path, reviews: Path) -> None:
    twice = {"--column": ("a", "b"), "-i": (reviews, reviews), "-o": ("a.npy", "b.npy"), "--threads": (1, 2)}
    for option, (first, second) in twice.items():
        said = refusal("embed", tiny_bundle, "--input", reviews, option, first, option, second)
        assert re.search(r"expected --[a-z]+ once, found it twice", said)
    assert "expected --output once" in refusal("embed", tiny_bundle, "x", "-o", "a.npy", "--output", "b.npy")
    assert "expected --form once" in refusal("onnx", "nowhere", "-o", "x", "--form", "flat", "--form", "recurrent")
    assert "expected --checkpoint once" in refusal("validate", "x", "--checkpoint", "a", "--checkpoint", "b")
    output = reviews.with_name("out.npy")
    embed(tiny_bundle, "x", "-o", output, "--force", "--force")  # a switch may be


def test_lists_are_taken_with_commas_and_repeated(tiny_bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text('id,"a,b",text,c\n1,2,x,3\n')
    for given in (["--keep", 'id,"a,b"', "--keep", "c"], ["--keep", "id, c", "--keep", '"a,b"']):
        embed(tiny_bundle, "--input", source, *given, "-o", tmp_path / "out.jsonl", "--force")
        (row,) = rows(tmp_path / "out.jsonl")
        assert {key: row[key] for key in ("id", "a,b", "c")} == {"id": "1", "a,b": "2", "c": "3"}
    for wrong in ("id,", "", '"id'):
        assert "expected --keep as NAME,NAME" in refusal("embed", tiny_bundle, "--input", source, "--keep", wrong)


def test_a_file_s_name_is_no_text_without_a_warning(tiny_bundle: Path, reviews: Path) -> None:
    said = embed(tiny_bundle, reviews, "a text", reviews.parent).stderr
    assert f"note: {str(reviews)!r} is embedded as a text, and is also a file" in said
    assert f"--input {reviews}" in said
    assert repr(str(reviews.parent)) in said, "a folder too"
    assert embed(tiny_bundle, "a text", "x" * 5000, "nul \0").stderr == ""
    assert "is also a file" not in embed(tiny_bundle, "").stderr, "Path('') is the current folder"
    many = [reviews.with_name(f"{i}.txt") for i in range(5)]
    for path in many:
        path.touch()
    assert "so are 2 more" in embed(tiny_bundle, *many).stderr


def test_a_bundle_that_was_forgotten(tiny_bundle: Path) -> None:
    said = refusal("embed", "hello")
    assert "expected a bundle's folder as the first argument, found nothing at hello" in said
    assert "lam-export embed BUNDLE" in said
    assert "embed BUNDLE TEXT" in refusal("embed", "hello", "world")
    assert "embed BUNDLE --input FILE" in refusal("embed", "hello", "--input", "x.txt")
    assert "embed BUNDLE TEXT" in refusal("embed", "hello", "x.txt", "--stream")
    assert "--input FILE" in refusal("embed", tiny_bundle)
    assert refusal("embed", "hello world", "x").endswith("lam-export onnx CHECKPOINT -o 'hello world'")


@pytest.mark.parametrize("text", ["-5 degrees", "--no way", "-", "-x"])
def test_a_text_that_begins_with_a_dash(tiny_bundle: Path, text: str) -> None:
    if text != "-":
        assert "A text that begins with - goes after --." in refusal("embed", tiny_bundle, text)
    assert text in embed(tiny_bundle, "--", text).stdout


def test_standard_input_is_read_once(tiny_bundle: Path, reviews: Path) -> None:
    assert "found it twice; it can be read once" in refusal("embed", tiny_bundle, "--stream", "-", "-", stdin="a")
    twice = refusal("embed", tiny_bundle, "--stream", reviews, "-", "/dev/null", "/dev/null")
    assert "found it twice" in twice
    embed(tiny_bundle, "--stream", "-", reviews, reviews, stdin="a")


@pytest.mark.heavy
def test_other_formats_on_standard_input(tiny_bundle: Path, tmp_path: Path) -> None:
    lines = '{"text": "a"}\n{"text": "b"}\n'
    shell = ["bash", "-c", f'cat | {sys.executable} -c "{MAIN}" embed {tiny_bundle} --input - "$@"', "sh"]
    environment = {**os.environ, **WIDE, "PYTHONPATH": os.pathsep.join(sys.path)}

    def piped(content: bytes, *options: object) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run([*shell, *map(str, options)], input=content, capture_output=True, env=environment)

    refused = piped(lines.encode())
    assert refused.returncode == 1
    assert b"found JSON; say so: --format jsonl" in refused.stderr
    parquet = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["a", "b"]}), parquet)
    content = {
        "jsonl": lines.encode(),
        "csv.gz": gzip.compress(b"text\na\nb\n"),
        "parquet": parquet.getvalue().to_pybytes(),
    }
    for name, data in content.items():
        output = tmp_path / f"{name}.jsonl"
        result = piped(data, "--format", name, "-o", output)
        assert result.returncode == 0, result.stderr
        assert [row["text"] for row in rows(output)] == ["a", "b"]
    as_text = embed(tiny_bundle, "-i", "-", "--format", "txt", "-o", tmp_path / "raw.jsonl", stdin=lines)
    assert as_text.returncode == 0
    assert rows(tmp_path / "raw.jsonl")[0]["text"] == '{"text": "a"}'


@pytest.mark.heavy
def test_a_redirected_file_is_known_by_its_name(tiny_bundle: Path, reviews: Path) -> None:
    with reviews.open() as file, process(tiny_bundle, "--input", "-", stdin=file) as run:
        _, said = run.communicate()
    assert run.returncode == 1
    assert f"found the file {reviews}; name it: --input {reviews}" in said.decode()


@pytest.mark.parametrize("name", ["texts.csv.gz", "texts.tsv", "texts.ndjson", "texts.jsonl.zst", "pipe"])
def test_other_files(tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path, name: str) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    content = {
        "texts.csv.gz": gzip.compress(REVIEWS.encode()),
        "texts.tsv": b"id\ttext\n1\tArrived late, works well\n2\t\n3\tWould not buy again\n\n",
        "texts.ndjson": lines.encode(),
        "texts.jsonl.zst": pa.compress(lines.encode(), "zstd", asbytes=True),
        "pipe": lines.encode(),
    }[name]
    path, output = tmp_path / name, tmp_path / "out.npy"
    options = []
    if name == "pipe":
        read, write = os.pipe()
        os.write(write, content)
        os.close(write)
        path, options = Path(f"/dev/fd/{read}"), ["--format", "jsonl"]
    else:
        path.write_bytes(content)
    said = embed(tiny_bundle, "--input", path, *options, "-o", output).stderr
    np.testing.assert_allclose(np.load(output), tiny_engine.embed(TEXTS), rtol=0, atol=1e-6)
    assert "note: 1 of 3 texts are empty or white space alone" in said


def test_empty_texts_are_counted_everywhere(tiny_bundle: Path, reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    assert "1 of 2 texts are empty" in embed(tiny_bundle, "a", " \n").stderr
    assert "1 of 1 texts are empty" in embed(tiny_bundle, "--stream", tmp_path / "empty.txt").stderr
    assert "1 of 3 texts are empty" in embed(tiny_bundle, "--input", reviews, "-o", tmp_path / "out").stderr
    assert "found no text in" in embed(tiny_bundle, "--input", tmp_path / "empty.txt").stderr
    assert embed(tiny_bundle, "a", "b").stderr == ""


def test_a_column_that_is_in_no_row(tiny_bundle: Path, tmp_path: Path) -> None:
    """JSON lines may leave a key out. One that all leave out is misspelt."""
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b", "id": 2}\n')
    said = embed(tiny_bundle, "--input", tmp_path / "a.jsonl", "--keep", "id,prise", "-o", tmp_path / "o.jsonl").stderr
    assert "note: no row has a value in 'prise'\n" in said


def test_places_without_a_name(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a variable that is not set: the current folder is not meant."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a\n")
    empty = "expected a path or a URI, found an empty one"
    assert empty in refusal("embed", tiny_bundle, "--input", "", "-o", "/dev/null/x.npy")
    assert empty in refusal("embed", tiny_bundle, "a", "-o", "")
    assert empty in refusal("embed", "", "a")


def test_names_cannot_colour_a_terminal(tiny_bundle: Path, tmp_path: Path) -> None:
    said = refusal("embed", tiny_bundle, "--input", tmp_path / "\x1b[31m\n\u202ered.txt")
    assert said.isprintable()
    assert "/\ufffd[31m \ufffdred.txt: No such file" in said


def test_rows_without_a_text(tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path) -> None:
    source, output = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b'{"id": 1, "text": "a"}\n{"id": 2, "text": null}\n{"id": 3}\n{"id": 4, "text": "b"}\n\n')
    assert "line 2: " in refusal("embed", tiny_bundle, "--input", source, "-o", output)
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl"]
    allowed = ("--input", source, "--id-column", "id", "--on-error")
    said = embed(tiny_bundle, *allowed, "skip", "-o", output).stderr
    assert f"note: 2 rows had no readable text (--on-error skip); see {output}.errors.jsonl" in said
    assert [row["id"] for row in rows(output)] == [1, 4]
    assert [row["id"] for row in rows(tmp_path / "out.jsonl.errors.jsonl")] == [2, 3]
    embed(tiny_bundle, "--input", source, "--on-error", "empty", "-o", tmp_path / "out.npy")
    expected = tiny_engine.embed(["a", "", "", "b"])
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=0, atol=1e-6)
    assert "names its rows" in refusal("embed", tiny_bundle, *allowed, "skip", "-o", tmp_path / "new.npy")
    embed(tiny_bundle, *allowed, "skip", "-o", tmp_path / "folder")
    table = pq.read_table(tmp_path / "folder").to_pandas()
    assert table["id"].tolist() == ["1", "4"]
    assert len(rows(tmp_path / "folder" / "_errors.jsonl")) == 2


@pytest.mark.heavy
def test_arguments_that_are_not_unicode(tiny_bundle: Path, tmp_path: Path) -> None:
    for name in ("a.parquet", "a.jsonl"):
        with process(tiny_bundle, os.fsdecode(b"caf\xe9"), "-o", tmp_path / name) as run:
            assert run.wait() == 0, run.stderr
    assert pq.read_table(tmp_path / "a.parquet")["text"].to_pylist() == ["caf\ufffd"]
    assert pd.read_json(tmp_path / "a.jsonl", lines=True)["text"].tolist() == ["caf\ufffd"]


def test_an_output_in_the_inputs_folder_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('"x"\n')
    said = refusal("embed", tiny_bundle, "--input", tmp_path, "-o", tmp_path / "out.jsonl")
    assert "expected an output outside of the input" in said
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    for output in ("a.jsonl", "link.jsonl"):
        said = refusal("embed", tiny_bundle, "--input", tmp_path / "a.jsonl", "-o", tmp_path / output, "--force")
        assert "expected an output outside of the input" in said
    assert (tmp_path / "a.jsonl").read_text() == '"x"\n', "its other columns would be lost"


@pytest.mark.heavy
def test_a_killed_run_is_continued(tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path) -> None:
    source, output = tmp_path / "texts.csv", tmp_path / "out"
    texts = [f"the dog {'runs ' * (i % 7)}{i}" for i in range(3000)]
    source.write_text("id,text\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts)))
    command = (tiny_bundle, "--input", source, "--keep", "id", "-o", output, "--partition-rows", 50)
    with process(*command) as run:
        while run.poll() is None and not list(output.glob("part-*")):
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    done = {path: path.stat().st_mtime_ns for path in output.glob("part-*.parquet")}
    assert done
    said = embed(*command).stderr
    assert f"in 60 files, {len(done)} of them by earlier runs" in said
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())
    table = pq.read_table(output)
    assert table["id"].to_pylist() == [str(i) for i in range(3000)]
    vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(3000, -1)
    np.testing.assert_allclose(vectors, tiny_engine.embed(texts), rtol=0, atol=1e-6)
    assert "expected the --keep of the run" in refusal("embed", tiny_bundle, "--input", source, "-o", output,
                                                       "--partition-rows", 50)  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_is_closed(tiny_bundle: Path, tmp_path: Path, ignored: bool) -> None:
    """``nohup`` ignores the signal, and so do its children."""
    output = tmp_path / "out.npy"

    def before() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    with process(tiny_bundle, "--input", "-", "-o", output, stdin=subprocess.PIPE, preexec_fn=before) as run:
        assert run.stdin is not None
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        run.send_signal(signal.SIGHUP)
        time.sleep(0.2 if ignored else 0)
        run.stdin.close()
        assert run.wait() == (0 if ignored else 129)
        assert run.stderr is not None
        assert (b"stopped; no file was left half written" in run.stderr.read()) != ignored
    assert [path.name for path in tmp_path.iterdir()] == (["out.npy"] if ignored else [])


@pytest.mark.heavy
@pytest.mark.parametrize("force", [False, True])
def test_a_file_that_appears_during_the_run(tiny_bundle: Path, tmp_path: Path, force: bool) -> None:
    output = tmp_path / "out.npy"
    options = ("--force",) if force else ()
    with process(tiny_bundle, "--input", "-", "-o", output, *options, stdin=subprocess.PIPE) as run:
        assert run.stdin is not None
        while not list(tmp_path.glob(f".out.npy.{'?' * 32}.partial")):
            time.sleep(0.01)
        output.write_text("of another")
        (tmp_path / "out-1.npy").write_text("of a third")
        _, said = run.communicate(b"a text\n")
    assert run.returncode == (0 if force else 1)
    if force:
        assert np.load(output).shape == (1, 32)
    else:
        assert output.read_text() == "of another"
        assert f"the embeddings are in {tmp_path / 'out-2.npy'}" in said.decode()
        assert np.load(tmp_path / "out-2.npy").shape == (1, 32)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.heavy
def test_the_progress_bar_keeps_its_word(tiny_bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("the dog runs\n" * 9000)
    main, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    command = [sys.executable, "-c", MAIN, "embed", tiny_bundle, "--input", source, "-o", tmp_path / "out.npy"]
    run = subprocess.Popen(list(map(str, command)), env=environment, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main, 1 << 16)
        except OSError:
            break
    os.close(main)
    assert run.wait() == 0
    text = shown.decode()
    counts = [int(found.replace(",", "")) for found in re.findall(r"([\d,]+) texts", text)]
    assert counts == sorted(counts)
    assert counts[-1] == 9000
    assert re.search(r"\d/s", text)
    assert re.search(r"\d:\d\d:\d\d", text), "the time that is left"
