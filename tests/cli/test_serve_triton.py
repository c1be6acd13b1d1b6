"""``lam-export triton`` and ``lam-export serve --triton``, as a user runs them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from asking import over_grpc, over_http
from commands import MAIN, lam_export, refusal
from served import CLOSE

from lam_engines import EngineError
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.triton import TritonServer, write_repository
from lam_engines.serving.triton.installation import Installation
from lam_engines.serving.triton.leftovers import sweep
from lam_engines.serving.triton.wheel import wheel_installation

pytestmark = pytest.mark.heavy

PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


def test_triton_writes_a_repository(tmp_path: Path, tiny_bundle: Path) -> None:
    result = lam_export(
        "triton", tiny_bundle, "-o", tmp_path / "models", "--max-tokens", 256, "--truncation", "truncate"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"Wrote {tmp_path}/models",
        "  texts of more than 256 tokens are cut, and answered with truncated = true",
        f"Serve it: tritonserver --model-repository={tmp_path}/models",
    ]
    assert {path.name for path in (tmp_path / "models").iterdir()} == {
        "lam_core",
        "lam_embed",
        "lam_tokenizer",
        "repository.json",
    }


def test_triton_refuses(tmp_path: Path, tiny_bundle: Path) -> None:
    assert "expected flavour python, onnxruntime or tensorrt" in refusal(
        "triton", tiny_bundle, "-o", tmp_path / "models", "--flavour", "cpp"
    )
    assert "expected a bundle" in refusal("triton", tmp_path / "none", "-o", tmp_path / "models")
    said = refusal("triton", tiny_bundle, "-o", tmp_path / "my repo")
    assert "expected folders of Latin letters and digits" in said
    assert "; name another: -o FOLDER, or" in said
    assert not (tmp_path / "my repo").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "is no repository of lam-export" in refusal("triton", tiny_bundle, "-o", tmp_path / "mine", "--force")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@contextmanager
def serving(temporary: Path, *arguments: object) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    """``lam-export serve`` from the moment it serves, and what it says: endpoint to address."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "400", "NO_COLOR": "1"}
    environment["TMPDIR"] = str(temporary)
    command = [sys.executable, "-c", MAIN, "serve", "--triton", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said: dict[str, str] = {}
        for line in process.stdout:
            name, _, value = line.strip().partition(" ")
            said[name] = value.strip()
            if name == "texts":
                break
        else:
            raise AssertionError(process.stderr.read())
        yield process, said
    finally:
        process.kill()
        process.communicate()


def server_of(process: "subprocess.Popen[str]") -> int:
    """The process of ``tritonserver``."""
    (found,) = [
        int(child)
        for listed in Path(f"/proc/{process.pid}/task").glob("*/children")
        for child in listed.read_text().split()
    ]
    return found


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_serve_until_it_is_told_to_stop(
    tmp_path: Path, tiny_bundle: Path, tiny_engine: EmbeddingEngine, triton_installation: Installation, number: int
) -> None:
    log = tmp_path / "log" / "triton.log"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serving(temporary, tiny_bundle, *PORTS, "--log", log) as (process, said):
        texts = [b"a man reads a book", "ж 東 🧿".encode()]
        expected = tiny_engine.embed([text.decode() for text in texts])
        assert said["texts"] == "of more than 8,192 tokens are refused"
        http = said["HTTP"].removeprefix("http://").removesuffix("/v2/models/lam_embed/infer")
        for ask in (over_grpc(said["gRPC"]), over_http(http)):
            np.testing.assert_allclose(ask(texts)["sentence_embedding"], expected, **CLOSE)
        assert said["log"] == str(log)
        server = server_of(process)
        process.send_signal(number)
        output, errors = process.communicate(timeout=40)
        assert (process.returncode, output) == (0, "")
        assert "error" not in errors
        wait_until_gone(server)
    assert not list(Path("/dev/shm").glob(f"lam_{process.pid}_*"))
    assert list(temporary.iterdir()) == []
    assert "lam_core" in log.read_text()


def test_the_server_does_not_outlive_serve(
    tmp_path: Path, tiny_bundle: Path, triton_installation: Installation
) -> None:
    with serving(tmp_path, tiny_bundle, *PORTS, "--log", tmp_path / "log") as (process, _):
        server = server_of(process)
        process.kill()
        process.wait()
        wait_until_gone(server)
    assert not list(Path("/dev/shm").glob(f"lam_{process.pid}_*"))


def test_serve_restarts(tmp_path: Path, tiny_bundle: Path, triton_installation: Installation) -> None:
    with serving(tmp_path, tiny_bundle, *PORTS[2:], "--log", tmp_path / "log") as (process, said):
        assert process.stderr is not None
        assert "HTTP" not in said
        assert "note: the HTTP port is shut: in Triton before 25.07" in next(
            line for line in process.stderr if line.startswith("note")
        )
        os.kill(server_of(process), signal.SIGKILL)
        lines = [line for line in iter(process.stderr.readline, "the server serves again\n") if line]
        assert lines[-1] == "restarting the server: the server ended with -9\n"
        assert over_grpc(said["gRPC"])([b"still there?"])["token_count"].item() > 2
        process.send_signal(signal.SIGHUP)  # its terminal is closed
        _, errors = process.communicate(timeout=40)
        assert (process.returncode, "rror" in errors) == (0, False)
    assert not list(tmp_path.glob("lam-export-*"))


def test_serve_refuses(tmp_path: Path, tiny_bundle: Path, triton_installation: Installation) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert f"expected port {port} of 127.0.0.1 to be free" in refusal(
            "serve", tiny_bundle, "--triton", "--http-port", port
        )
    assert "expected a command after --tritonserver" in refusal(
        "serve", tiny_bundle, "--triton", "--tritonserver", "no-such-program"
    )
    message = refusal("serve", tiny_bundle, "--triton", "--flavour", "onnxruntime")
    assert "expected a server with Triton's onnxruntime backend, found PyPI's" in message


def test_a_server_that_does_not_start_says_why(tmp_path: Path, tiny_bundle: Path) -> None:
    program = tmp_path / "tritonserver"
    program.write_text("#!/bin/sh\necho 'I1122 loading'\necho 'E1122 no space left' >&2\nexit 3\n")
    program.chmod(0o755)
    result = lam_export("serve", tiny_bundle, "--triton", *PORTS, "--tritonserver", program, "--log", tmp_path / "log")
    assert result.returncode == 1
    assert result.stdout == ""
    assert [line for line in result.stderr.splitlines() if not line.startswith("✓")] == [
        "E1122 no space left",
        f"error: tritonserver ended with 3 before it served; see {tmp_path}/log",
    ]


def test_what_a_killed_run_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = {
        f"lam-export-{ended.pid}-a": False,
        f"lam-export-{ended.pid}-new": True,
        f"lam-export-{os.getpid()}-b": True,
    }
    for name in (*names, "lam-export-x", "other"):
        (tmp_path / name).mkdir()
        if "new" not in name:
            os.utime(tmp_path / name, (0, 0))
    sweep()
    assert {path.name for path in tmp_path.iterdir()} == {name for name, stays in names.items() if stays} | {
        "lam-export-x",
        "other",
    }


@pytest.mark.parametrize("name", ["with space", "ünïcode", "a;b", "$HOME", "(x)", "q'uote"])
def test_folders_that_triton_cannot_use_are_refused_at_once(
    tmp_path: Path,
    tiny_bundle: Path,
    name: str,
    triton_installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = "expected folders of Latin letters and digits for Triton"
    repository = write_repository(tiny_bundle, tmp_path / name / "models")
    with pytest.raises(EngineError, match=message):
        TritonServer(repository, installation=triton_installation).start()
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path / name))
    with pytest.raises(EngineError, match=message):
        wheel_installation(lambda step: pytest.fail(step))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
    assert message in refusal("serve", tiny_bundle, "--triton")
