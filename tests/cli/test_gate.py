"""``lam-export gate``: a change that is kept, one that is rejected, and what it cannot judge."""

import csv
import json
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import lam_export

from lam_engines import load_engine
from lam_engines.embedding.engine import EmbeddingEngine
from lam_export.bench.gate.history import read_history
from lam_export.model.checkpoint import load_checkpoint
from lam_export.pipelines.export_onnx import export_onnx

pytestmark = pytest.mark.heavy

TEXTS = ["the man plays music", "a woman reads in the red house", "the cat sleeps", "water and a big tree", "old car"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(cache))


@pytest.fixture(scope="module")
def fewer_layers(tiny_checkpoint_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A change that makes the model faster: its first layer alone."""
    checkpoint = load_checkpoint(tiny_checkpoint_folder)
    short = replace(checkpoint, config=replace(checkpoint.config, num_hidden_layers=1))
    return export_onnx(short, tmp_path_factory.mktemp("gate") / "short").bundle.path


@pytest.fixture(scope="module")
def sts(fewer_layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark on which the short model is perfect."""
    with load_engine(fewer_layers) as engine:
        vectors = engine.embed(TEXTS)
    path = tmp_path_factory.mktemp("sts") / "sts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        for i, j in zip(*np.triu_indices(len(TEXTS), 1), strict=True):
            rows.writerow([TEXTS[i], TEXTS[j], round(5 * float(vectors[i] @ vectors[j]), 6)])
    return path


@pytest.fixture
def baseline(tiny_bundle: Path, tiny_checkpoint_folder: Path, sts: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle with a report in it."""
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "baseline"))
    result = lam_export("report", bundle, "--checkpoint", tiny_checkpoint_folder, "--sts", sts, "--candidate", "fp32")
    assert result.returncode in (0, 2), result.stderr
    return bundle


def report_of(bundle: Path) -> Path:
    return bundle / "reports" / "accuracy" / "report.json"


def gate(baseline: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the gate. Two layers take 30 ms more, which no load of the machine outweighs: alone they take 1 ms."""
    embed_ids = EmbeddingEngine.embed_ids

    def slow(engine: EmbeddingEngine, *batch: Any, **options: Any) -> np.ndarray:
        time.sleep(0.03 * (engine.model.num_hidden_layers == 2))
        return embed_ids(engine, *batch, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbeddingEngine, "embed_ids", slow)
        return lam_export("gate", *arguments, "--baseline", report_of(baseline), "--threads", 1, "--repeats", 9)


def test_kept_and_rejected(baseline: Path, fewer_layers: Path, sts: Path, tmp_path: Path) -> None:
    short = Path(shutil.copytree(fewer_layers, tmp_path / "short"))
    kept = gate(baseline, short, "--sts", sts, "--change", "one layer", "--json")
    assert kept.returncode == 0, kept.stderr
    trial = json.loads(kept.stdout)
    assert trial["accepted"]
    assert trial["candidate"]["score"] == pytest.approx(1)
    assert trial["low"] > 1

    back = gate(baseline, baseline, "--baseline-bundle", baseline, "--sts", sts, "--change", "nothing")
    assert back.returncode == 1
    assert "found the baseline itself" in back.stderr

    history = read_history(baseline)
    assert read_history(short) == history, "both bundles remember"
    assert [t.change for t in history.trials] == ["one layer"]
    assert "one layer" in (short / "reports" / "history.html").read_text()
    assert (short / "reports" / "history.md").read_text().startswith("### ✅ ACCEPTED")


def test_a_slower_one_is_rejected(
    baseline: Path, fewer_layers: Path, tiny_checkpoint_folder: Path, sts: Path, tmp_path: Path
) -> None:
    short = Path(shutil.copytree(fewer_layers, tmp_path / "short"))
    made = lam_export(
        "report", short, "--reference-results", baseline / "reports/accuracy/results/reference.json", "--sts", sts
    )
    assert made.returncode == 2, "it is another model"
    result = gate(short, baseline, "--sts", sts, "--change", "a second layer")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "REJECTED" in result.stdout
    assert "below the baseline's 1.0000" in result.stdout
    assert "not faster beyond doubt" in result.stdout


def test_what_cannot_be_judged(baseline: Path, fewer_layers: Path, sts: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("the cat sleeps,old car,2.5\n")

    def refusal(*arguments: object) -> str:
        result = lam_export("gate", fewer_layers, "--change", "x", *arguments)
        assert result.returncode == 1
        assert result.stderr.startswith("error: ")
        return result.stderr

    report = report_of(baseline)
    assert "name the file that the report was made with" in refusal("--baseline", report, "--sts", other)
    other.write_text(sts.read_text().replace("old car", "new car"))
    assert "pairs of other texts or scores" in refusal("--baseline", report, "--sts", other)
    assert "found none" in refusal("--baseline", tmp_path / "no.json", "--sts", sts)
    assert "expected report.json" in refusal("--baseline", baseline / "manifest.json", "--sts", sts)
    wanted = ("--baseline", report, "--sts", sts, "--baseline-precision", "fp16")
    assert "expected fp16 in onnxruntime" in refusal(*wanted)
    copied = Path(shutil.copy(report, tmp_path / "report.json"))
    assert "found no bundle around it" in refusal("--baseline", copied, "--sts", sts)
    another = ("--baseline", copied, "--baseline-bundle", fewer_layers, "--sts", sts)
    assert "found another or a changed one" in refusal(*another)
