"""``lam-export serve``, as a user runs it: it listens when it says so, and ends without a lost request."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from commands import MAIN, WIDE, refusal
from served import CLOSE

from lam_engines.embedding.engine import EmbeddingEngine


@contextmanager
def serving(
    bundle: Path, *arguments: object, folder: Path | None = None, **variables: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """``lam-export serve`` from the moment it serves, and its address."""
    environment = {**os.environ, **WIDE, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    command = [sys.executable, "-c", MAIN, "serve", str(bundle), "--port", "0", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(f"Serving {bundle.name} at http"), (line, process.communicate())
            yield process, line.split()[3].rstrip(";")
        finally:
            process.kill()


def embed(url: str, texts: list[str], model: str = "bundle") -> Any:
    body = json.dumps({"model": model, "input": texts}).encode()
    asked = urllib.request.Request(f"{url}/v1/embeddings", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return [item["embedding"] for item in json.load(answer)["data"]]


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_it_ends_when_what_is_under_way_is_answered(
    tiny_bundle: Path, tiny_engine: EmbeddingEngine, number: int
) -> None:
    texts = ["the dog runs " * 40] * 150
    with serving(tiny_bundle, "--drain-delay", 1) as (process, url), ThreadPoolExecutor(8) as pool:
        np.testing.assert_allclose(embed(url, ["a man"])[0], tiny_engine.embed(["a man"])[0], **CLOSE)
        asked = [pool.submit(embed, url, texts) for _ in range(4)]
        while status(f"{url}/metrics") == 200 and all(not found.done() for found in asked):
            time.sleep(0.01)  # until the first is answered: the others are under way
        process.send_signal(number)
        if number == signal.SIGTERM:  # not ready, but still there
            time.sleep(0.3)
            assert (status(f"{url}/readyz"), status(f"{url}/livez")) == (503, 200)
            asked.append(pool.submit(embed, url, ["late"]))
        for found in asked:
            assert len(found.result()) in (150, 1)
        assert process.stdout is not None
        output = process.stdout.read()  # communicate would lose what was read along with the first line
        errors = process.communicate(timeout=30)[1]
    assert (process.returncode, output.count("\n")) == (0, 5)
    assert "rror" not in errors
    assert "Traceback" not in errors
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):  # the port is free
        pass


@pytest.mark.heavy
def test_what_takes_too_long_is_answered_before_the_end(tiny_bundle: Path) -> None:
    with serving(tiny_bundle, "--drain-delay", 0, "--stop-timeout", 1) as (process, url), ThreadPoolExecutor(2) as pool:
        asked = pool.submit(embed, url, ["the dog runs " * 1000] * 80)
        time.sleep(1)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half_sent:
            half_sent.sendall(b"POST /embed HTTP/1.1\r\nHost: localhost\r\n")
            process.send_signal(signal.SIGTERM)
            failure = asked.exception(30)
        assert failure is None or isinstance(failure, urllib.error.HTTPError)
        if failure is not None:
            assert (failure.code, json.load(failure)["error"]["code"]) == (503, "server_stopping")
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.count("Traceback"), errors.count("rror")) == (0, 0, 0)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["with space", "ünïcode", "q'uo\"te", "$HOME;(x)"])
def test_paths_with_any_character(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    bundle = copytree(tiny_bundle, folder / "bundle")
    places = {variable: str(folder) for variable in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "LAM_EXPORT_CACHE")}
    with serving(bundle, folder=folder, **places) as (_, url):
        assert len(embed(url, ["cat"])) == 1


@pytest.mark.heavy
@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.needs("openvino"))])
def test_sighup_loads_again(tiny_bundle: Path, tmp_path: Path, engine: str) -> None:
    bundle = copytree(tiny_bundle, tmp_path / "bundle")
    with serving(bundle, "--engine", engine, "--drain-delay", 0) as (process, url):
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            assert "the models were loaded again\n" in lines
            assert len(embed(url, ["cat"])) == 1
        for graph in bundle.glob("model*.onnx"):
            graph.write_bytes(b"")
        process.send_signal(signal.SIGHUP)
        assert next(lines).startswith("nothing was changed: ")
        assert len(embed(url, ["cat"])) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.heavy
@pytest.mark.parametrize("log", ["-", "/dev/full"])
def test_it_serves_on_when_its_lines_cannot_be_written(tiny_bundle: Path, log: str) -> None:
    with serving(tiny_bundle, "--access-log", log) as (process, url):
        assert process.stdout is not None
        process.stdout.close()
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        connection.connect()
        first = connection.sock
        for _ in range(3):
            connection.request("GET", "/v1/models")
            answer = connection.getresponse()
            assert json.load(answer)["data"]
            assert connection.sock is first, "the connection stays open"


def test_what_serve_refuses(tiny_bundle: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"expected a free port at 127.0.0.1:{port}, found none" in refusal("serve", tiny_bundle, "--port", port)
    assert "expected an API key to listen on 0.0.0.0" in refusal("serve", tiny_bundle, "--host", "0.0.0.0")
    assert "expected a bundle" in refusal("serve", tmp_path / "none")
    assert "--cache does not apply without --triton" in refusal("serve", tiny_bundle, "--cache")
    assert "--port does not apply with --triton" in refusal("serve", tiny_bundle, "--triton", "--port", 1)
    assert "expected one bundle with --triton" in refusal("serve", tiny_bundle, tiny_bundle, "--triton")
    assert "expected engine auto, onnxruntime" in refusal("serve", tiny_bundle, "--engine", "none")
    assert "found one alone" in refusal("serve", tiny_bundle, "--tls-cert", tmp_path / "cert.pem")
