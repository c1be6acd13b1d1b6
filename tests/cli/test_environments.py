"""Every command in an environment that lacks something: one line that names it, and a command that works.

One environment has what every installation has, and no extra. One has what timing needs, and no PyTorch.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import bare
import pytest
import shared
from commands import MAIN, WIDE, lam_export_process
from test_cli import COMMANDS

from lam_engines import machine
from lam_engines.errors import installing

pytestmark = pytest.mark.heavy

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "demo": ("out",),
    "inspect": ("CHECKPOINT",),
    "onnx": ("CHECKPOINT", "-o", "out"),
    "memory": ("CHECKPOINT", "-o", "out"),
    "validate": ("BUNDLE", "--checkpoint", "CHECKPOINT"),
    "report": ("BUNDLE", "--checkpoint", "CHECKPOINT", "-o", "out"),
    "gate": ("BUNDLE", "--baseline", "report.json", "--sts", "dev.csv", "--change", "none"),
    "bench": ("BUNDLE", "-o", "out"),
    "profile": ("BUNDLE", "-o", "out"),
    "trt": ("BUNDLE", "--checkpoint", "CHECKPOINT"),
    "embed": ("BUNDLE", "a text"),
    "triton": ("BUNDLE", "-o", "out"),
    "serve": ("BUNDLE",),
    "web": ("BUNDLE", "-o", "out"),
    "huggingface": ("BUNDLE", "-o", "out"),
    "ray-job": ("--to", "out", "--", "BUNDLE", "--input", "s3://in", "-o", "s3://out"),
    "kernels": (),
    "doctor": ("BUNDLE",),
}
MORE: dict[str, tuple[str, ...]] = {
    "a Parquet file": ("embed", "BUNDLE", "--input", "texts.parquet", "-o", "out.npy"),
    "OpenVINO": ("embed", "BUNDLE", "a text", "--engine", "openvino"),
    "TensorRT": ("embed", "BUNDLE", "a text", "--engine", "tensorrt"),
    "a checkpoint's folder": ("inspect", "CHECKPOINT", "--json"),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next(shared.made_once(tmp_path_factory, "wheel", bare.wheel).glob("*.whl"))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Of an environment without any extra."""
    folder = shared.made_once(tmp_path_factory, "bare", lambda folder: bare.environment(folder, wheel))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def timing(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Of an environment to measure in: with ``cpu`` and ``bench``."""
    folder = shared.made_once(tmp_path_factory, "timing", lambda f: bare.environment(f, wheel, "cpu", "bench"))
    return folder / "bin" / "python"


@pytest.fixture
def run(
    tiny_bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path
) -> "type[subprocess.CompletedProcess[str]]":  # a function, whose type is long
    places = {"BUNDLE": tiny_bundle, "CHECKPOINT": tiny_checkpoint_folder}
    (tmp_path / "texts.parquet").touch()

    def lam_export(python: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return bare.run(python, *(places.get(a, a) for a in arguments), folder=tmp_path)

    return lam_export  # type: ignore[return-value]


def assert_one_line(result: "subprocess.CompletedProcess[str]", wheel: Path) -> None:
    """One line on standard error, with a command that names the wheel and an extra of it."""
    assert (result.returncode, result.stdout) == (1, ""), result
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith(("✓", "note: "))]
    assert line.startswith("error: ")
    if "needs an int8 graph" in line or "model.int8.onnx" in line:
        return
    found = re.search(r"pip install '(.*\.whl)\[([\w,]+)\]'", line)
    assert found, line
    assert Path(found[1]).samefile(wheel)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_any_extra_each_command_says_what_to_install(
    command: str, run: "type[subprocess.CompletedProcess[str]]", python: Path, wheel: Path
) -> None:
    result = run(python, command, *ARGUMENTS[command])
    if command == "doctor":
        assert (result.returncode, result.stderr) == (2, "")
        assert f"pip install '{wheel}[cpu]'" in result.stdout
    else:
        assert_one_line(result, wheel)


@pytest.mark.parametrize("case", MORE)
def test_options_that_need_more(
    case: str, run: "type[subprocess.CompletedProcess[str]]", python: Path, wheel: Path
) -> None:
    assert_one_line(run(python, *MORE[case]), wheel)


def test_the_command_as_a_module(python: Path, tmp_path: Path) -> None:
    command = [python, "-m", "lam_export", "--version"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert shown == bare.run(python, "--version", folder=tmp_path).stdout
    usage = subprocess.run([*command[:-1], "embed", "--help"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "Usage: python -m lam_export embed " in usage


def test_timing_needs_no_pytorch(
    run: "type[subprocess.CompletedProcess[str]]", timing: Path, wheel: Path, tmp_path: Path
) -> None:
    there = "import importlib.util as u; print([n for n in ('torch', 'onnxscript', 'scipy') if u.find_spec(n)])"
    shown = subprocess.run([timing, "-c", there], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert shown == "[]\n"
    done = run(timing, "bench", "BUNDLE", "--quick", "--seconds", "0", "--lengths", "32", "-o", "bench")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bench/bench.html").is_file()
    done = run(timing, "profile", "BUNDLE", "--shape", "1x32", "--seconds", "0", "-o", "profile")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "profile/profile.html").is_file()
    checkpoint = ("BUNDLE", "--checkpoint", "CHECKPOINT", "-o", "out")
    for command in (
        ("bench", *checkpoint),
        ("bench", *checkpoint, "--against", "pytorch"),
        ("bench", "BUNDLE", "--against", "minilm-onnx", "-o", "out"),
        ("profile", *checkpoint, "--engine", "pytorch"),
    ):
        assert_one_line(run(timing, *command), wheel)


def test_the_hint_in_a_clone_names_the_clone() -> None:
    assert installing("export,cpu") == f"pip install --editable '{bare.ROOT}[export,cpu]'"


def test_no_hint_names_an_index_that_does_not_have_us() -> None:
    for package in ("lam_export", "engines/lam_engines", "plugins/lam_plugins"):
        for path in (bare.ROOT / package).rglob("*.py"):
            assert "pip install 'lam-export" not in path.read_text(encoding="utf-8"), path


STRANGER = 54321
"""A user that no system knows by name."""
AS_STRANGER = ("unshare", "--user", f"--map-user={STRANGER}", f"--map-group={STRANGER}")


def can_be_a_stranger() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run([*AS_STRANGER, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_be_a_stranger(), reason="needs user namespaces")
@pytest.mark.parametrize("home", [None, "shut"])
def test_a_user_without_a_home(
    home: str | None, tiny_bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "shut").mkdir(mode=0o555)
    (tmp_path / "temporary").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    kept |= {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path / "temporary"), **WIDE}
    if home is not None:
        kept["HOME"] = str(tmp_path / home)

    def run(*arguments: object) -> str:
        command = [*AS_STRANGER, sys.executable, "-c", MAIN, *map(str, arguments)]
        done = subprocess.run(command, env=kept, cwd=tmp_path / "shut", capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in (0, 2), done.stderr
        return done.stdout

    report = ("report", tiny_bundle, "--checkpoint", tiny_checkpoint_folder, "--candidate", "fp32", "-o")
    run(*report, tmp_path / "report")
    private = tmp_path / "temporary" / f"lam-export-{STRANGER}"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert any((private / "results").glob("*.json"))
    run("onnx", tiny_checkpoint_folder, "-o", tmp_path / "bundle")
    if home is None:
        run("kernels", "--target", "sm_90")


@pytest.mark.parametrize("home", ["/proc", "/proc/nowhere", "/etc/passwd", "relative"])
def test_homes_that_cannot_be_written(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LAM_EXPORT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(machine.tempfile, "tempdir", str(tmp_path))
    assert machine.cache_folder() == tmp_path / f"lam-export-{os.getuid()}"
    assert os.listdir(tmp_path) == [f"lam-export-{os.getuid()}"]


def test_a_folder_in_tmp_that_somebody_else_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAM_EXPORT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(machine.tempfile, "tempdir", str(tmp_path))
    private = tmp_path / f"lam-export-{os.getuid()}"
    private.mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="name a folder: LAM_EXPORT_CACHE=DIR"):
        machine.cache_folder()
    private.chmod(0o700)
    assert machine.cache_folder() == private
    private.rmdir()
    private.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        machine.cache_folder()
    private.unlink()
    assert machine.cache_folder() == private


def test_a_relative_or_empty_cache_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAM_EXPORT_CACHE", "here")
    assert machine.cache_folder() == tmp_path / "here"
    monkeypatch.setenv("LAM_EXPORT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert machine.cache_folder() == tmp_path / "lam-export"


def test_report_does_not_promise_what_it_could_not_keep(tmp_path: Path) -> None:
    code = (
        "import lam_export.pipelines.report as r\ndef stop(*a, **k): raise KeyboardInterrupt\n"
        f"r.report = stop\nimport os; os.environ['LAM_EXPORT_CACHE'] = %r\n{MAIN}"
    )
    (tmp_path / "results").mkdir()
    kept = lam_export_process("report", "bundle", code=code % str(tmp_path))
    assert f"embeddings so far are kept in {tmp_path}/results" in kept.stderr
    lost = lam_export_process("report", "bundle", code=code % "/proc/nowhere")
    assert "embeddings are not kept: /proc/nowhere/results cannot be written" in lost.stderr
    assert "LAM_EXPORT_CACHE=DIR" in lost.stderr
