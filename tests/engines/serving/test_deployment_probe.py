"""The health check of the generated files, as a container runs it: with nothing but Python."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from served import free_port, stopped

from lam_engines.serving import deployment
from lam_engines.serving.deployment.probe import failure
from lam_engines.serving.triton.probe import Health, HealthCheck

if TYPE_CHECKING:
    from lam_engines.serving.triton import TritonServer

SCRIPT = Path(deployment.__file__).with_name("probe.py")


def probe(url: str, *arguments: str, metrics: str = "127.0.0.1:9") -> tuple[int, str]:
    """Exit code and what is printed."""
    urls = ("--url", f"http://{url}", "--metrics", f"http://{metrics}/metrics")
    command = [sys.executable, "-I", "-S", str(SCRIPT), *urls, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert not result.stderr
    return result.returncode, result.stdout.strip()


def test_a_healthy_model(tiny_server: "TritonServer") -> None:
    assert probe(tiny_server.http_url) == (0, "ok")


def test_no_server() -> None:
    code, said = probe(f"127.0.0.1:{free_port()}")
    assert (code, "refused" in said) == (1, True)


def test_another_model(tiny_server: "TritonServer") -> None:
    code, said = probe(tiny_server.http_url, "--model", "lam_nothing")
    assert code == 1
    assert said.startswith("HTTP 4")


def test_a_server_that_does_not_answer(tiny_server: "TritonServer") -> None:
    with stopped(tiny_server.pid):
        code, said = probe(tiny_server.http_url, "--timeout", "1")
    assert (code, "timed out" in said) == (1, True)
    assert probe(tiny_server.http_url) == (0, "ok")


def test_a_queue_that_is_slow_and_moves_is_healthy(tiny_server: "TritonServer") -> None:
    from tritonclient.grpc import InferenceServerClient, InferInput

    with InferenceServerClient(tiny_server.grpc_url) as client:
        given = InferInput("text", [1, 1], "BYTES")
        given.set_data_from_numpy(np.array([[b"the dog runs " * 400]], dtype=object))
        asked = [client.async_infer("lam_embed", [given], lambda result, error: None) for _ in range(200)]
        try:
            # Neither the answer nor a failure comes within the first time limits, which are far too short.
            for _ in range(3):
                reason = failure(
                    f"http://{tiny_server.http_url}", f"http://{tiny_server.metrics_url}/metrics", "lam_embed", 1
                )
                health, said = HealthCheck.of(tiny_server.repository)(tiny_server.grpc_url, tiny_server.metrics_url, 1)
                assert (reason, health) in (("", Health.BUSY), ("", Health.SERVES)), said
        finally:
            for one in asked:
                one.cancel()
