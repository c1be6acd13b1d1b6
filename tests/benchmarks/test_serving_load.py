"""``benchmarks/serving.py`` against the real server and the real front."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from serving_load.connections import Connection, RequestError
from serving_load.load import Mix, closed, opened
from serving_load.page import row, shown
from serving_load.schema import ServingBenchmark

from lam_engines.serving.http import HttpOptions, HttpServer
from lam_export.evidence.record import page as drawn

if TYPE_CHECKING:
    from lam_engines.serving.triton import TritonServer

DRIVER = Path(__file__).parents[2] / "benchmarks" / "serving.py"
MIX = Mix([f"text {i}" for i in range(50)], [3] * 50, np.eye(50, dtype=np.float32), per_request=2)


class Answers(Connection):
    """Right answers, but for every so many requests; each takes a while."""

    protocol = "none"

    def __init__(self, wrong: int = 0, failing: int = 0) -> None:
        self.wrong, self.failing, self.sent = wrong, failing, 0

    def send(self, texts: Sequence[str]) -> np.ndarray:
        self.sent += 1
        if self.failing and self.sent % self.failing == 0:
            raise RequestError("HTTP 503")
        rows = [int(text.split()[1]) for text in texts]
        swapped = self.wrong and self.sent % self.wrong == 0
        return MIX.expected[rows[::-1] if swapped else rows]


def test_closed_load_counts_what_goes_wrong() -> None:
    load = closed(Answers(failing=10), MIX, clients=4, seconds=0.2)
    assert load.errors.keys() == {"HTTP 503"}
    assert load.errors["HTTP 503"] == pytest.approx((load.requests + load.errors["HTTP 503"]) / 10, abs=4)
    assert (load.texts, load.tokens) == (2 * load.requests, 6 * load.requests)
    assert (load.wrong, load.max_abs, len(load.quantiles)) == (0, 0.0, 101)


def test_swapped_answers_are_seen() -> None:
    load = closed(Answers(wrong=3), MIX, clients=2, seconds=0.1)
    assert load.wrong > load.texts / 6
    assert load.max_abs == 1.0


def test_open_load_sends_at_its_rate() -> None:
    load = opened(Answers(), MIX, rate=200, seconds=1)
    assert 150 < load.requests < 250
    assert not load.errors


def test_nothing_answered() -> None:
    load = closed(Answers(failing=1), MIX, clients=1, seconds=0.05)
    assert (load.requests, load.quantiles) == (0, ())
    assert row(load)[4:8] == ("none",) * 4


@pytest.mark.parametrize("way", ["grpc", "http", "openai"])
def test_the_driver(tiny_server: "TritonServer", tiny_bundle: Path, tmp_path: Path, way: str) -> None:
    with HttpServer([tiny_bundle], HttpOptions(port=0)) as own:
        urls = {"grpc": f"grpc://{tiny_server.grpc_url}", "http": f"http://{tiny_server.http_url}"}
        urls["openai"] = f"{own.url}/v1"
        load = ["--clients", "1,8", "--rates", "20", "--seconds", "1", "--mix", "60", "--texts", "2"]
        if way == "http":
            load += ["--metrics", f"http://{tiny_server.metrics_url}/metrics"]
        command = [sys.executable, str(DRIVER), urls[way], str(tiny_bundle), *load, "-o", str(tmp_path)]
        result = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert result.returncode == 0, result.stdout + result.stderr
    found = ServingBenchmark.model_validate_json((tmp_path / "serving.json").read_text())
    assert [load.name for load in found.loads] == ["1 client", "8 clients", "20 requests/s"]
    for load in found.loads:
        assert (load.errors, load.wrong) == ({}, 0)
        assert load.max_abs <= 1e-5
        assert load.requests > 5
    names = {account.model for account in found.accounts} - {"lam_embed"}
    known = {"grpc": {"lam_tokenizer"}, "http": {"lam_tokenizer", "lam_core"}, "openai": set()}
    assert names == known[way]
    for account in found.accounts:
        if account.model == "lam_core":
            assert 0 < account.executions <= account.requests * 2
            assert account.queue > 0 < account.compute
    page = (tmp_path / "serving.html").read_text()
    assert page == drawn(shown(found))
    assert page.count("<svg") == 1
    assert "Every answer was right" in page


@pytest.mark.heavy
@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8001", "http://127.0.0.1:1", "grpc://127.0.0.1:1"])
def test_no_server(tiny_bundle: Path, tmp_path: Path, url: str) -> None:
    command = [sys.executable, str(DRIVER), url, str(tiny_bundle), "-o", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert result.returncode == 1
    assert "error: expected" in result.stdout
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_beside_the_engine(tiny_bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "table.md"
    load = ["--clients", "8", "--rounds", "1", "--seconds", "1", "--texts", "60", "-o", str(output)]
    command = [sys.executable, str(DRIVER.with_name("serving_and_engine.py")), str(tiny_bundle), *load]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    written = output.read_text()
    assert written in result.stdout
    assert written.startswith("own server, model.onnx, fp32, 8 clients; ")
    assert "| 2 with " in written
