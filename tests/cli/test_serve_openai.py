"""``lam-export serve --openai``: one command from a bundle to OpenAI's API, and nothing left of it afterwards."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import pytest
from commands import MAIN, refusal
from served import CLOSE

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.openai import bind

PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
URL = re.compile(r"OpenAI +(http://127\.0\.0\.1:(\d+)/v1) \(model (\w+)\)")


def running() -> dict[int, int]:
    """Every process of this machine, and its parent."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            found[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    return found


def descendants(pid: int) -> set[int]:
    """Of a process, all generations."""
    tree, parents = {pid}, running()
    while new := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= new
    return tree - {pid}


@pytest.mark.usefixtures("triton_installation")
def test_stopped_under_load_it_leaves_nothing(tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "400"}
    arguments = ["serve", str(tiny_bundle), "--openai", "--openai-port", "0", *PORTS, "--log", str(tmp_path / "log")]
    command = [sys.executable, "-c", MAIN, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines = []
        while not lines or "OpenAI" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate()
        url, port, model = URL.search(lines[-1]).groups()  # type: ignore[union-attr]
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        assert [served.id for served in client.models.list()] == [model] == [tiny_bundle.name]
        answer = client.embeddings.create(model=model, input="the cat sleeps")
        np.testing.assert_allclose(answer.data[0].embedding, tiny_engine.embed(["the cat sleeps"])[0], **CLOSE)

        def ask() -> None:
            while True:
                try:
                    client.embeddings.create(model=model, input=["the dog runs " * 50] * 4)
                except openai.OpenAIError as error:
                    seen[type(error).__name__] += 1
                    return
                seen["answer"] += 1

        with ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(ask)
            deadline = time.monotonic() + 60
            while seen["answer"] < 20 and time.monotonic() < deadline:
                time.sleep(0.05)
            tree = descendants(process.pid)
            assert len(tree) >= 3, "the server and its two models"
            process.send_signal(signal.SIGTERM)
            since = time.monotonic()
            _, said = process.communicate(timeout=60)
            assert time.monotonic() - since < 45
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert set(seen) == {"answer", "APIConnectionError"}, "what was under way was finished"
    assert not tree & running().keys()
    bind("127.0.0.1", int(port)).close()


@pytest.mark.usefixtures("triton_installation")
def test_a_port_in_use_is_said_before_the_server_starts(tiny_bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refusal("serve", tiny_bundle, "--openai", "--openai-port", port, *PORTS, "--log", tmp_path / "log")
    assert f"expected a free port at 127.0.0.1:{port}, found none" in line
    assert not (tmp_path / "log").exists()
