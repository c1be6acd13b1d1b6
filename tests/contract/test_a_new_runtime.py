"""The runtime that CONTRIBUTING.md adds: its files in place, every command takes it, and the contract tests it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from commands import lam_export_process
from pages import ROOT, blocks

import lam_engines
from lam_engines.embedding.engine import EmbeddingEngine

pytestmark = pytest.mark.heavy

PLACE = "engines/lam_engines/runtimes/plain/"
VERSION = version("onnxruntime")
NAME = "ONNX Runtime, not optimised fp32"
SHORT = ("--engine", "plain", "--threads", 1, "--seconds", 0)
STS = "the cat sleeps,a dog sleeps,4\nmusic,the old house,0.5\na man reads,the man plays,3\n"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of lam_engines with the page's files in it."""
    root = tmp_path_factory.mktemp("packages")
    (original,) = lam_engines.__path__
    shutil.copytree(original, root / "lam_engines", ignore=shutil.ignore_patterns("__pycache__"))
    folder = root / "lam_engines" / "runtimes" / "plain"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for block in blocks(ROOT / "CONTRIBUTING.md"):
        if block.language == "python":
            named = re.match(rf"# {PLACE}(\w+\.py)\n", block.code)
            assert named, "the first line of a file to add says where it goes"
            (folder / named[1]).write_text(block.code, encoding="utf-8")
    return root


@pytest.fixture
def command(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``lam-export`` with that package, in processes of its own: bench starts some itself."""
    monkeypatch.syspath_prepend(package)
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        result = lam_export_process(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.mark.parametrize("name", ["bench", "embed", "gate", "profile", "report", "validate"])
def test_help_names_it(command: Command, name: str) -> None:
    said = " ".join(re.split(r"[\s│]+", command(name, "--help").stdout))
    assert "onnxruntime, openvino, plain, tensorrt" in said


def test_embed(command: Command, tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path) -> None:
    texts = ["the cat sleeps", "a red house"]
    command("embed", tiny_bundle, *texts, "--engine", "plain", "-o", tmp_path / "vectors.npy")
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), tiny_engine.embed(texts), rtol=0, atol=1e-5)


def test_doctor(command: Command, tiny_bundle: Path) -> None:
    (row,) = [line for line in command("doctor", tiny_bundle).stdout.splitlines() if "engine plain, cpu" in line]
    assert f"plain {VERSION}, embedded a text: 32 numbers" in row


def test_validate(command: Command, tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    options = ("--checkpoint", tiny_checkpoint_folder, "--engine", "plain", "--json")
    found = json.loads(command("validate", tiny_bundle, *options).stdout)
    assert found["passed"]
    assert {row["engine"] for row in found["rows"]} == {"plain"}


def test_report_then_gate(command: Command, bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sts.csv").write_text(STS, encoding="utf-8")
    sts = ("--sts", tmp_path / "sts.csv")
    engines = ("--engine", "plain", "--engine", "onnxruntime")
    command("report", bundle, "--checkpoint", tiny_checkpoint_folder, *sts, *engines)
    report = json.loads((bundle / "reports" / "accuracy" / "report.json").read_text())
    assert report["passed"]
    assert [c["candidate"]["runtime"].split()[0] for c in report["comparisons"]] == ["plain", "onnxruntime"]
    assert report["comparisons"][0]["candidate"]["runtime"] == f"plain {VERSION}"

    options = ("--baseline", bundle / "reports/accuracy/report.json", *sts, "--change", "optimised", "--repeats", 5)
    engines = ("--engine", "onnxruntime", "--baseline-engine", "plain", "--threads", 1)
    judged = lam_export_process("gate", bundle, *options, *engines, "--json")
    assert judged.returncode in (0, 2), judged.stderr
    trial = json.loads(judged.stdout)
    assert (trial["baseline"]["engine"], trial["candidate"]["engine"]) == ("plain", "onnxruntime")


def test_bench(command: Command, bundle: Path) -> None:
    found = json.loads(command("bench", bundle, *SHORT, "--quick", "--lengths", 4, "--json").stdout)
    assert {result["status"] for result in found["results"]} == {"measured"}
    assert NAME in json.dumps(found)


def test_profile(command: Command, bundle: Path) -> None:
    found = json.loads(command("profile", bundle, *SHORT, "--shape", "1x20", "--json").stdout)
    assert NAME in json.dumps(found)
    shown = (bundle / "reports" / "profile" / "profile.md").read_text(encoding="utf-8")
    assert "The engine keeps no record of its parts" in shown


def test_the_contract_takes_it_up(package: Path) -> None:
    """But for what it does not promise: it is built on ONNX Runtime, and loads that."""
    path = os.pathsep.join([str(package), *sys.path])
    plugins = ("-p", "no:cacheprovider", "-p", "no:xdist")
    arguments = ["-m", "pytest", *plugins, "--color=no", "-k", "plain and not loads_nothing"]
    tests = [Path(__file__).with_name(name) for name in ("test_promises.py", "test_declarations.py")]
    result = subprocess.run(
        [sys.executable, *arguments, *tests],
        cwd=ROOT,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^(\d+) passed", result.stdout, flags=re.MULTILINE), result.stdout
