"""The health check of the generated files, as a container runs it: with nothing but Python."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from served import free_port, stopped

from lam_engines.serving import deployment

if TYPE_CHECKING:
    from lam_engines.serving.triton import TritonServer

SCRIPT = Path(deployment.__file__).with_name("probe.py")


def probe(url: str, *arguments: str) -> tuple[int, str]:
    """Exit code and what is printed."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), "--url", f"http://{url}", *arguments]
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
