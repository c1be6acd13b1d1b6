"""``lam-export report`` as a user runs it: exit codes, files, sentences, an interrupt, a missing extra."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import MAIN, lam_export, lam_export_process, refusal

from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import installing
from lam_export.validate.report.schema import Report

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(cache))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str | Path, ...]:
    """Options that name a file of texts, one of pairs, and a folder of tasks."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "ours.txt").write_text("the [red]dog[/] eats\n\nэто другой текст\n", encoding="utf-8")
    pairs = ["the dog eats,a dog is eating,4.5", "the dog eats,the car is new,0", "a red car,the blue car,2"]
    (folder / "sts.csv").write_text("\n".join(pairs), encoding="utf-8")
    (folder / "tasks" / "pets").mkdir(parents=True)
    documents = ["the dog eats", "the car is new", "a woman reads"]
    for name, rows in {
        "corpus": [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(documents)],
        "queries": [{"_id": "q", "text": "a dog is eating"}],
        "qrels": [{"query-id": "q", "corpus-id": "d0", "score": 1}],
    }.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "tasks" / "pets" / f"{name}.jsonl").write_text(lines)
    return "--texts", folder / "ours.txt", "--sts", folder / "sts.csv", "--tasks", folder / "tasks"


def test_pass_then_fail(
    tiny_bundle: Path, tiny_checkpoint_folder: Path, texts: tuple[str | Path, ...], tmp_path: Path
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "a [bold]bundle")
    passed = lam_export("report", bundle, "--checkpoint", tiny_checkpoint_folder, *texts)
    assert passed.returncode == 0, passed.stderr
    assert "PASS" in passed.stdout
    folder = bundle / "reports" / "accuracy"
    assert f"Wrote {folder / 'report.html'}" in passed.stdout
    report = Report.model_validate_json((folder / "report.json").read_bytes())
    assert report.sources == ("built-in", "ours.txt", "sts.csv", "pets")
    assert report.passed
    assert [c.candidate.precision for c in report.comparisons] == ["fp32"]
    assert report.comparisons[0].parts
    (task,) = report.comparisons[0].tasks
    assert (task.task, task.measure, task.cases, task.documents) == ("pets", "nDCG@10", 1, 3)
    assert 0 < task.reference == task.candidate <= 1
    assert "pets" in (folder / "report.md").read_text()
    assert Bundle(bundle).read("model.onnx"), "the bundle is whole"

    (tmp_path / "gate.toml").write_text("padding_cosine = 0.5\n[fp32]\nrecall_at_10 = 0.5\n")
    failed = lam_export(
        "report",
        bundle,
        *("--reference-results", folder / "results" / "reference.json", *texts, "-o", tmp_path / "new" / "report"),
        *("--thresholds", tmp_path / "gate.toml", "--cosine", "1", "--ndcg-difference", "0.25", "--json"),
    )
    assert failed.returncode == 2, failed.stderr
    found = Report.model_validate(json.loads(failed.stdout))
    assert (tmp_path / "new" / "report" / "report.json").read_text() == failed.stdout
    checks = {check.name: check for check in found.comparisons[0].checks}
    assert (checks["padding_cosine"].threshold, checks["recall_at_10"].threshold) == (0.5, 0.5)
    assert checks["ndcg_difference"].threshold == 0.25
    assert [name for name, check in checks.items() if not check.passed] == ["cosine"]
    worst = found.comparisons[0].worst[0]
    sentence = checks["cosine"].detail
    assert sentence.startswith("cosine 1 is below 1 by ")
    assert sentence.endswith(f"' ({worst.tokens} tokens, {worst.language})")


def test_against_another_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    result = lam_export("report", tiny_bundle, "--against", tiny_bundle, "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    (comparison,) = Report.model_validate_json((tmp_path / "report.json").read_bytes()).comparisons
    assert comparison.reference.name == f"{tiny_bundle.name}: ONNX Runtime fp32"
    assert comparison.max_abs == 0


def test_another_checkpoint_is_said_to_be_another(
    tiny_bundle: Path, tiny_checkpoint_folder: Path, texts: tuple[str | Path, ...], tmp_path: Path
) -> None:
    import tiny

    tensors = tiny.lam_tensors()
    tensors["ffn_norms.1.bias"] += 0.05
    other = tiny.write_checkpoint(tmp_path / "other", tensors=tensors)
    result = lam_export("report", tiny_bundle, "--checkpoint", other, *texts, "-o", tmp_path / "report")
    assert result.returncode == 2, result.stderr
    assert "note: expected the checkpoint that the bundle was made from" in result.stderr
    assert "FAIL" in result.stdout
    (cosine,) = [line for line in result.stdout.splitlines() if "is below 0.999999 by" in line and "itself" not in line]
    assert "ONNX Runtime fp32: cosine 0.9" in cosine
    assert "; the error begins in layers.1.ffn_norm" in cosine

    import torch

    tensors["embeddings.position_embeddings.weight"] = torch.zeros(tiny.ROWS + 1, tiny.HIDDEN)
    unlike = tiny.write_checkpoint(tmp_path / "unlike", tensors=tensors)
    assert "of different models" in refusal("report", tiny_bundle, "--checkpoint", unlike, "-o", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_interrupt_keeps_what_was_embedded(tiny_bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    arguments = ["report", str(tiny_bundle), "--checkpoint", str(tiny_checkpoint_folder), "-o", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LAM_EXPORT_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells ignore it in background jobs
    )
    kept = tmp_path / "cache" / "results"
    deadline = time.monotonic() + 120
    while not list(kept.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert f"embeddings so far are kept in {kept}; the same command continues from there" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()
    before = {path: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    assert before

    again = subprocess.run([sys.executable, "-c", MAIN, *arguments], env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    after = {path: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    assert before.items() <= after.items(), "nothing is computed twice"
    assert len(after) > len(before)


def test_full_disks(tiny_bundle: Path, tmp_path: Path) -> None:
    """A full cache is said once, and is no error. A full output leaves no half file, and nothing is said to be kept."""
    cache, output = tmp_path / "cache", tmp_path / "out"
    mounts = [f"mount -t tmpfs -o size=64k none '{place}'" for place in (cache, output)]
    launcher = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        " && ".join([*mounts, 'exec "$@"']),
        "sh",
    ]
    cache.mkdir()
    output.mkdir()
    if not shutil.which("unshare") or subprocess.run([*launcher, "true"], capture_output=True).returncode:
        pytest.skip("needs a user namespace in which a tmpfs can be mounted")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LAM_EXPORT_CACHE": str(cache)}
    command = [sys.executable, "-c", MAIN, "report", tiny_bundle, "--against", tiny_bundle, "-o", output]
    full = subprocess.run([*launcher, *map(str, command)], env=environment, capture_output=True, text=True)
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    said = " ".join(full.stderr.split())
    assert said.count(f"embeddings are not kept in {cache}/results (No space left on device); make room there") == 1
    message = full.stderr.splitlines()[-1]
    assert message.startswith(f"error: cannot write results to {output}/results/")
    assert message.endswith(" (No space left on device); name a file in another folder; then run the same again")


def test_a_report_that_cannot_be_written_says_what_is_kept(tiny_bundle: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file for a folder")
    line = refusal("report", tiny_bundle, "--against", tiny_bundle, "-o", tmp_path)
    assert line.startswith(f"error: cannot write results to {tmp_path}/results/reference.json (")
    assert line.endswith(f"then run the same again; all embeddings are kept in {cache}/results, so that it is quick")
    assert list((cache / "results").glob("*.json"))


@pytest.mark.parametrize("module", ["scipy", "jinja2", "torch"])
def test_without_its_extra(module: str) -> None:
    hidden = "import sys, importlib.util as u; find = u.find_spec\n"
    hidden += f"u.find_spec = lambda name, *a: None if name == {module!r} else find(name, *a)\n"
    result = lam_export_process("report", "bundle", "--checkpoint", "x", code=hidden + MAIN)
    assert result.returncode == 1
    expected = f"error: {module} not installed here; run: {installing('report')}"
    assert result.stderr.splitlines()[-1] == expected


MISTAKES = {
    "no reference": ([], "--checkpoint CHECKPOINT, --against BUNDLE or --reference-results FILE"),
    "two references": (["--checkpoint", "x", "--against", "y"], "expected one reference"),
    "no such checkpoint": (["--checkpoint", "nowhere"], "found nothing at nowhere"),
    "one that the bundle has not": (["--against", ".", "--candidate", "fp16"], "expected model.fp16.onnx"),
    "no such engine": (["--against", ".", "--engine", "abacus"], "found 'abacus'"),
    "no plans": (["--against", ".", "--engine", "tensorrt"], "that tensorrt can run"),
    "a threshold out of range": (["--against", ".", "--recall-at-10", "99"], "recall_at_10: input should be less"),
    "no tasks": (["--against", ".", "--tasks", "CHECKPOINT"], "expected corpus, queries and qrels"),
    "no such reference": (["--checkpoint", "CHECKPOINT", "--reference", "float16"], "found 'float16'"),
    "a file for a folder": (["--against", ".", "-o", __file__], "expected a folder at"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(
    mistake: str, tiny_bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path
) -> None:
    arguments, expected = MISTAKES[mistake]
    places = {".": tiny_bundle, "CHECKPOINT": tiny_checkpoint_folder}
    output = [] if "-o" in arguments else ["-o", tmp_path / "report"]
    line = refusal("report", tiny_bundle, *(places.get(argument, argument) for argument in arguments), *output)
    assert expected in line
