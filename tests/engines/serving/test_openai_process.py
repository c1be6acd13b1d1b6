"""The OpenAI front as a process of its own: signals, ports, what it leaves behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import openai
import pytest
from served import free_port

from lam_engines.serving.openai import bind

if TYPE_CHECKING:
    from lam_engines.serving.triton import TritonServer


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "lam_engines.serving.openai", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@contextmanager
def front(triton: str, port: int) -> Iterator["subprocess.Popen[str]"]:
    arguments = command("--triton", triton, "--port", port, "--model", "tiny")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == f"http://127.0.0.1:{port}/v1\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_stopped_under_load(tiny_server: "TritonServer", stop: signal.Signals) -> None:
    port = free_port()
    seen: Counter[str] = Counter()
    with front(tiny_server.grpc_url, port) as process, ThreadPoolExecutor(8) as pool:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)

        def ask() -> None:
            while True:
                try:
                    client.embeddings.create(model="tiny", input=["the dog runs " * 50] * 4)
                except openai.OpenAIError as error:
                    seen[type(error).__name__] += 1
                    return
                seen["answer"] += 1

        done = [pool.submit(ask) for _ in range(8)]
        deadline = time.monotonic() + 30
        while seen["answer"] < 20 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(stop)
        start = time.monotonic()
        process.wait(20)
        assert time.monotonic() - start < 15
        for future in done:
            future.result(20)
    assert seen["answer"] >= 20
    # A connection that is closed between two requests; no request was cut off, none answered with an error.
    assert set(seen) == {"answer", "APIConnectionError"}
    bind("127.0.0.1", port).close()


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = subprocess.run(command("--port", port), capture_output=True, text=True, env=environment())
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: expected a free port at 127.0.0.1:{port}, found none")
