"""What a process may use: of the machine, and of the container that it is in."""

import os
import subprocess
import sys
from pathlib import Path

import needs
import pytest

from lam_engines import machine
from lam_engines.bulk import run
from lam_export.evidence.provenance import Setting
from lam_export.evidence.provenance import machine as description

MAIN_MEMORY = "MemTotal:  8000 kB\nMemAvailable:    6000 kB\n"


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 processors, with nothing that limits it yet."""
    for name, place in (("_PROC", "proc"), ("_GROUPS", "groups")):
        monkeypatch.setattr(machine, name, tmp_path / place)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    write(tmp_path, {"proc/meminfo": MAIN_MEMORY, "proc/self/cgroup": "0::/\n"})
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


ONE = "9:memory:/a/b\n4:cpu,cpuacct:/a/b\n0::/\n"
"""The first version of control groups: a hierarchy for each controller."""


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64),
        ({"groups/cpu.max": "max 100000\n"}, 64),
        ({"groups/cpu.max": "400000 100000\n"}, 4),
        ({"groups/cpu.max": "25000 100000\n"}, 1),
        ({"groups/cpu.max": "175000 50000\n"}, 4),
        ({"groups/cpu.max": "9900000 100000\n"}, 64),
        ({"groups/cpu.max": "broken"}, 64),
        ({"groups/cpu.max": ""}, 64),
        # A service, whose group is one of many, and whose slice has less than itself.
        ({"proc/self/cgroup": "0::/a/b\n", "groups/a/b/cpu.max": "800000 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "groups/a/b/cpu.max": "max 1\n", "groups/a/cpu.max": "3 1\n"}, 3),
        # A container that is told its path outside.
        ({"proc/self/cgroup": "0::/docker/1f\n", "groups/cpu.max": "2 1\n"}, 2),
        ({"proc/self/cgroup": "0::/../other\n", "groups/cpu.max": "2 1\n"}, 2),
        ({"proc/self/cgroup": "none of this"}, 64),
        *(
            (
                {
                    "proc/self/cgroup": ONE,
                    f"groups/cpu{at}/cpu.cfs_quota_us": quota,
                    f"groups/cpu{at}/cpu.cfs_period_us": "10\n",
                },
                n,
            )
            for at, quota, n in (("/a/b", "60\n", 6), ("/a", "50\n", 5), ("", "20\n", 2), ("", "-1\n", 64))
        ),
    ],
)
def test_a_quota_counts(container: Path, files: dict[str, str], expected: int) -> None:
    write(container, files)
    assert machine.processors() == expected


def test_a_quota_counts_wherever_processors_do(container: Path) -> None:
    assert run.shared_out(run.BulkOptions(), 99) == (16, 4)
    write(container, {"groups/cpu.max": "600000 100000\n", "proc/cpuinfo": "processor\t: 0\nmodel name\t: A CPU\n"})
    setting = Setting.here(None)
    assert (setting.cores, setting.threads) == (6, 6)
    assert Setting.here(2).threads == 2
    assert description().startswith("A CPU, 6 cores, ")
    assert run.shared_out(run.BulkOptions(), 99) == (1, 6)
    assert run.shared_out(run.BulkOptions(workers=(3, 3)), 99) == (3, 2)
    assert run.shared_out(run.BulkOptions(workers=(9, 9)), 99) == (9, 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
@pytest.mark.parametrize(("quota", "threads"), [("max 100000\n", None), ("400000 100000\n", 4), ("50000 100000\n", 1)])
def test_every_engine_keeps_to_the_share_of_its_container(
    container: Path, monkeypatch: pytest.MonkeyPatch, quota: str, threads: int | None
) -> None:
    """The runtimes themselves look at the machine, and would start 64 threads in a container that has four."""
    from lam_engines.runtimes.onnxruntime.session import session_options
    from lam_engines.runtimes.openvino.library import compile_options

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    write(container, {"groups/cpu.max": quota})
    assert session_options(None).intra_op_num_threads == (threads or 0)
    assert session_options(3).intra_op_num_threads == 3
    if needs.missing("openvino") is None:
        assert compile_options(None).get("INFERENCE_NUM_THREADS") == threads
        assert compile_options(3)["INFERENCE_NUM_THREADS"] == 3


def test_processors_that_a_process_is_kept_on_count() -> None:
    code = "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from lam_engines.machine import processors; print(processors())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment).stdout == b"1\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 6000 * 1024),
        ({"groups/memory.max": "max\n", "groups/memory.current": "9\n"}, 6000 * 1024),
        ({"groups/memory.max": "5000\n", "groups/memory.current": "900\n"}, 4100),
        ({"proc/meminfo": "", "groups/memory.max": "5000\n", "groups/memory.current": "900\n"}, 4100),
        ({"proc/meminfo": ""}, None),
        (
            {
                "proc/self/cgroup": ONE,
                "groups/memory/a/memory.limit_in_bytes": "700\n",
                "groups/memory/a/memory.usage_in_bytes": "100\n",
            },
            600,
        ),
    ],
)
def test_memory_that_is_left(container: Path, files: dict[str, str], expected: int | None) -> None:
    write(container, files)
    assert machine.available_memory() == expected


def test_a_machine_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    assert machine.processors() == 12
    assert machine.processor_name() == machine.platform.machine()
    assert machine.available_memory() is None


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAM_EXPORT_CACHE", "here")
    assert machine.cache_folder() == tmp_path / "here"
    monkeypatch.setenv("LAM_EXPORT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert machine.cache_folder() == Path("/x/lam-export")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert machine.cache_folder() == Path.home() / ".cache" / "lam-export"


def test_it_needs_the_standard_library_alone() -> None:
    """It is copied into Triton's models, with the names that it uses."""
    folder = Path(str(machine.__file__)).parents[1]
    code = f"import sys; before = set(sys.modules); sys.path.insert(0, {str(folder)!r}); import lam_engines.machine\n"
    code += "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
    code += "print(sorted(new - {'lam_engines'} - sys.stdlib_module_names))"
    result = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
