"""What the tests lean on: commands in their own process, folders made once, skips that are told."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import needs
import pytest
import shared
import spread
from commands import lam_export, lam_export_process

ROOT = Path(__file__).parents[1]
MAKE = """
import sys, time
import shared
from pathlib import Path

class Temporary:
    def getbasetemp(self):
        return Path(sys.argv[1]) / sys.argv[2]

def make(folder):
    with (folder.parent.parent / "made").open("a") as file:
        file.write("once")
    time.sleep(0.2)
    (folder / "file").write_text("whole")

print((shared.made_once(Temporary(), "name", make) / "file").read_text())
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("embed", "BUNDLE", "héllo"), ("embed", "nowhere", "text"), ("embd",), ("inspect", "--help")],
    ids=" ".join,
)
def test_a_command_is_the_same_in_a_process_of_its_own(arguments: tuple[str, ...], tiny_bundle: Path) -> None:
    words = [str(tiny_bundle) if word == "BUNDLE" else word for word in arguments]
    inside, outside = lam_export(*words), lam_export_process(*words)
    assert (inside.returncode, inside.stdout, inside.stderr) == (outside.returncode, outside.stdout, outside.stderr)


def test_a_command_leaves_this_process_as_it_was(tiny_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ), sys.argv, sys.stdin, sys.stdout, sys.stderr, Path.cwd(), list(warnings.filters)
    assert lam_export("embed", tiny_bundle, "-i", "-", stdin="a text\nanother\n").stdout.count("0.") >= 2
    after = dict(os.environ), sys.argv, sys.stdin, sys.stdout, sys.stderr, Path.cwd(), list(warnings.filters)
    assert after == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.heavy
def test_two_processes_make_a_folder_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTEST_XDIST_WORKER": "gw0"}
    processes = []
    for name in ("gw0", "gw1"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", MAKE, str(tmp_path), name]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    assert [process.communicate()[0] for process in processes] == ["whole\n"] * 2
    assert (tmp_path / "made").read_text() == "once"


def test_a_folder_whose_making_fails_is_made_by_the_next(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    name = request.node.name

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        shared.made_once(tmp_path_factory, name, fail)
    folder = shared.made_once(tmp_path_factory, name, lambda folder: (folder / "whole").touch())
    assert os.listdir(folder) == ["whole"]


def test_skips_are_told_by_their_reason() -> None:
    skipped = [
        ("tests/cpp/test_a.py::test_1[x::y]", "Skipped: no cmake; run: apt-get install cmake"),
        ("tests/cpp/test_b.py::test_2", "Skipped: no cmake; run: apt-get install cmake"),
        ("tests/gpu/test_c.py::test_3", "Skipped: no CUDA device"),
    ]
    assert needs.summary(skipped) == [
        "tests/gpu/test_c.py (1): no CUDA device",
        "tests/cpp (2): no cmake; run: apt-get install cmake",
    ]
    assert needs.missing("pytest") is None
    assert needs.missing("pytest", "no_such_package") == "no no_such_package; run: pip install no_such_package"
    assert "cmake" in needs.install_cpp()


def test_files_that_stay_together_exist() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    for starts in spread.TOGETHER.values():
        for start in starts:
            assert [file for file in files if file.startswith(start)], start
