"""``lam-embed``: what it reads, what it writes, and what it leaves behind."""

import io
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from cpp_engine import CppEngine

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.files import open_writer

TEXTS = b"the cat sleeps\n\na man is reading\r\nlast"
LINES = ["the cat sleeps", "", "a man is reading", "last"]


def test_a_file_a_pipe_and_a_named_file_are_the_same(
    cpp_engine: CppEngine, tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path
) -> None:
    piped = cpp_engine.run(tiny_bundle, stdin=TEXTS).stdout
    vectors = np.load(io.BytesIO(piped))
    np.testing.assert_allclose(vectors, tiny_engine.embed(LINES), rtol=0, atol=2e-5)
    (tmp_path / "texts").write_bytes(TEXTS)
    for mode in ("wb", "ab"):
        with (tmp_path / "texts").open("rb") as texts, (tmp_path / "out").open(mode) as out:
            subprocess.run([cpp_engine.tool, tiny_bundle], stdin=texts, stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == piped * 2
    result = cpp_engine.run(tiny_bundle, "-o", tmp_path / "named.npy", stdin=TEXTS)
    assert result.stderr.decode() == f"Wrote {tmp_path / 'named.npy'} (4 embeddings of 32)\n"
    assert (tmp_path / "named.npy").read_bytes() == piped
    with open_writer(tmp_path / "python.npy", 32) as writer:
        writer.write(LINES, vectors)
    assert (tmp_path / "python.npy").read_bytes() == piped


def test_more_texts_than_are_held_at_once(cpp_engine: CppEngine, tiny_bundle: Path) -> None:
    vectors = cpp_engine.embed(tiny_bundle, ["the cat", "a man"] * 4500)
    assert vectors.shape == (9000, 32)
    np.testing.assert_allclose(vectors, np.tile(vectors[:2], (4500, 1)), rtol=0, atol=2e-6)


def test_no_texts(cpp_engine: CppEngine, tiny_bundle: Path) -> None:
    assert cpp_engine.embed(tiny_bundle, []).shape == (0, 32)


def test_input_that_is_not_utf8(cpp_engine: CppEngine, tiny_bundle: Path, tmp_path: Path) -> None:
    place = tmp_path / "out.npy"
    said = cpp_engine.refusal(tiny_bundle, "-o", place, stdin="one\né".encode() + b"\xff\n")
    assert said == (
        "standard input, line 2: expected UTF-8, found byte 0xff after 1 characters; convert the file with: "
        "iconv -f ITS_ENCODING -t UTF-8"
    )
    assert list(tmp_path.iterdir()) == []
    with place.open("wb") as out:
        subprocess.run([cpp_engine.tool, tiny_bundle], input=b"\xff", stdout=out, stderr=subprocess.PIPE)
    assert place.read_bytes() == b""


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("out.txt", "expected an output file ending in .npy, found "),
        ("none/out.npy", "found none; mkdir -p "),
        ("folder.npy", "expected an output file, found the folder "),
        ("there.npy", "in place; choose another name, or replace it with --force"),
    ],
)
def test_places_that_it_does_not_write_to(
    cpp_engine: CppEngine, tiny_bundle: Path, tmp_path: Path, name: str, part: str
) -> None:
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "there.npy").write_bytes(b"before")
    assert part in cpp_engine.refusal(tiny_bundle, "-o", tmp_path / name, stdin=TEXTS)
    assert (tmp_path / "there.npy").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2


def test_replacing_a_file(cpp_engine: CppEngine, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "target.npy").write_bytes(b"before")
    (tmp_path / "link.npy").symlink_to("target.npy")
    assert cpp_engine.run(tiny_bundle, "-o", tmp_path / "link.npy", "--force", stdin=TEXTS).returncode == 0
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(tmp_path / "target.npy").shape == (4, 32)


@pytest.mark.parametrize("device", ["/dev/full"])
def test_a_full_disk(cpp_engine: CppEngine, tiny_bundle: Path, device: str) -> None:
    with Path(device).open("wb") as out:
        command = [cpp_engine.tool, tiny_bundle]
        result = subprocess.run(command, input=TEXTS, stdout=out, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert b"expected room for the embeddings, found: No space left on device (after 4 rows" in result.stderr


def test_a_reader_that_has_gone(cpp_engine: CppEngine, tiny_bundle: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        result = subprocess.run([cpp_engine.tool, tiny_bundle], input=TEXTS, stdout=out, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (141, b"")


def test_streams_that_are_closed(cpp_engine: CppEngine, tiny_bundle: Path, tmp_path: Path) -> None:
    def shell(redirected: str, *arguments: object) -> "subprocess.CompletedProcess[bytes]":
        command = ["bash", "-o", "pipefail", "-c", f'echo a | "$@" {redirected}', "sh", cpp_engine.tool, *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True)

    closed = shell(">&-", tiny_bundle)
    assert (closed.returncode, closed.stdout) == (1, b"")
    assert b"expected standard output as a file or a pipe, found it closed; write to a file" in closed.stderr
    for place in ("", f"-o {tmp_path / 'none.npy'}"):
        unread = shell(f"{place} <&- | cat", tiny_bundle)
        assert (unread.returncode, unread.stdout) == (1, b""), "its own output is not its input"
        assert b"expected a readable file of texts, found standard input: Bad file descriptor" in unread.stderr
    done = shell(f"-o {tmp_path / 'out.npy'} >&- 2>&-", tiny_bundle)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert np.load(tmp_path / "out.npy").shape == (1, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]
    for place, code in ((">&-", 1), (">/dev/full", 1)):
        assert shell(place, "--help").returncode == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopped_it_leaves_nothing(
    cpp_engine: CppEngine, tiny_bundle: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = [cpp_engine.tool, tiny_bundle, "-o", tmp_path / "out.npy"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        for _ in range(600):  # until the file is begun
            if list(tmp_path.iterdir()):
                break
            time.sleep(0.1)
        process.stdin.write(b"the cat\n" * 5000)  # more than a window: it is at work, or waits for more
        process.stdin.flush()
        process.send_signal(number)
        assert process.wait(60) == code
        assert process.stderr is not None
        assert process.stderr.read() == b"error: stopped; no file was left half written\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_kept(cpp_engine: CppEngine, tiny_bundle: Path, tmp_path: Path) -> None:
    place = tmp_path / "out.npy"
    for options in ((), ("--force",)):
        command = [cpp_engine.tool, tiny_bundle, "-o", place, *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            for _ in range(600):  # until the file is begun
                if any(path.suffix == ".part" for path in tmp_path.iterdir()):
                    break
                time.sleep(0.1)
            place.write_bytes(b"of another")
            _, said = process.communicate(b"the cat\n", timeout=60)
        other = tmp_path / "out-1.npy"
        if options:
            assert process.returncode == 0, said
            assert np.load(place).shape == (1, 32)
        else:
            assert process.returncode == 1
            assert said.decode() == (
                f"error: expected a new output file, found that {place} appeared during the run; it is unchanged, and "
                f"the embeddings are in {other}\n"
            )
            assert place.read_bytes() == b"of another"
            assert np.load(other).shape == (1, 32)
            other.unlink()
        assert list(tmp_path.iterdir()) == [place]


def test_hung_up_under_nohup_it_goes_on(cpp_engine: CppEngine, tiny_bundle: Path, tmp_path: Path) -> None:
    command = ["nohup", cpp_engine.tool, tiny_bundle, "-o", tmp_path / "out.npy"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for _ in range(600):
            if list(tmp_path.iterdir()):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGHUP)
        process.communicate(b"the cat\n", timeout=60)
    assert process.returncode == 0
    assert np.load(tmp_path / "out.npy").shape == (1, 32)


def test_on_a_terminal(cpp_engine: CppEngine, tiny_bundle: Path, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    command = [cpp_engine.tool, tiny_bundle, "-o", tmp_path / "out.npy"]
    subprocess.run(command, input=TEXTS, stdout=terminal, stderr=terminal, check=True)
    shown = os.read(controller, 4096)
    assert b"Embedding 4 texts, " in shown or b"Embedding 1 texts, " in shown
    assert b"\r\x1b[K" + b"Wrote " in shown
    result = subprocess.run([cpp_engine.tool, tiny_bundle], input=TEXTS, stdout=terminal, stderr=subprocess.PIPE)
    os.close(terminal)
    os.close(controller)
    assert result.returncode == 1
    assert result.stderr == (
        b"error: expected standard output as a file or a pipe, found a terminal; write to a file: -o FILE.npy\n"
    )


def test_help_and_version(cpp_engine: CppEngine) -> None:
    from lam_export import __version__

    assert cpp_engine.run("--version").stdout.decode() == f"lam-embed {__version__}\n"
    assert (
        cpp_engine.run("--help").stdout.decode().startswith("Usage: lam-embed [OPTIONS] BUNDLE < texts.txt > out.npy")
    )
