"""``lam-export embed --ray`` with a real Ray: what comes out, what is left running, and kills on the way."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import MAIN, lam_export, refusal

from lam_engines.bulk.output import write_plan
from lam_engines.bulk.plan import Work, make_plan
from lam_engines.bulk.run import PARTITION_ROWS
from lam_engines.bundles.bundle import file_entry
from lam_engines.contract import MANIFEST
from lam_engines.files import Reading

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.needs("ray"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc"),
]
TEXTS = [f"the dog {'runs ' * (i % 5)}{i}" for i in range(2400)]
MARK = "LAM_TEST_RUN"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(3):
        pq.write_table(pa.table({"text": TEXTS[800 * i : 800 * (i + 1)]}), folder / f"{i}.parquet", row_group_size=300)
    return folder


def rows(path: Path) -> tuple[list[str], np.ndarray]:
    """Texts, sorted, and the embeddings in their order."""
    table = pq.read_table(path).sort_by("text").combine_chunks()
    vectors = table["embedding"].combine_chunks().flatten().to_numpy()
    return table["text"].to_pylist(), vectors.reshape(len(table), -1)


def processes(run: str) -> list[Path]:
    """Folders in /proc of a run's processes, known by a variable that they inherited."""
    mark, found = f"{MARK}={run}".encode(), []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environment.read_bytes():
                found.append(environment.parent)
        except OSError:
            continue
    return found


def addresses(run: str) -> set[str]:
    """Where a run's processes listen, as /proc has it: the address in hexadecimal."""
    sockets = set()
    for process in processes(run):
        for handle in process.glob("fd/*"):
            try:
                sockets.add(os.readlink(handle))
            except OSError:
                continue
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets}


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@contextmanager
def started(*arguments: object) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """A run in the background, and its mark. When it is stopped, all its processes must end by themselves."""
    run = uuid.uuid4().hex
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), MARK: run, "COLUMNS": "400"}
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        yield process, run
        process.wait(60)
        wait_for(lambda: not processes(run), 30)


def test_the_same_as_a_local_run(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    out, local = tmp_path / "out", tmp_path / "local.parquet"
    ray = ("--ray", "--input", source, "--workers", 2, "--partition-rows", 500)
    result = lam_export("embed", tiny_bundle, *ray, "-o", out)
    assert result.returncode == 0, result.stderr
    assert result.stderr == f"Wrote {out} (2,400 embeddings of 32 in 6 files)\n"
    assert lam_export("embed", tiny_bundle, "--input", source, "-o", local).returncode == 0
    (texts, vectors), (expected_texts, expected) = rows(out), rows(local)
    assert texts == expected_texts == sorted(TEXTS)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)

    again = lam_export("embed", tiny_bundle, *ray, "-o", out)
    assert again.stderr == f"Wrote {out} (2,400 embeddings of 32 in 6 files, 6 of them by earlier runs)\n"
    other = ("--ray", "--input", source, "--partition-rows", 400, "-o", out)
    assert "expected the --partition-rows of the run in" in refusal("embed", tiny_bundle, *other)


def test_killed_and_taken_up(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("embed", tiny_bundle, "--ray", "--input", source, "-o", out, "--workers", 2, "--partition-rows", 10)
    kept: dict[str, int] = {}

    def finished() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}

    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        with started(*command) as (process, run):
            wait_for(lambda enough=len(kept) + 5: len(finished()) >= enough)
            assert addresses(run) <= {"0100007F", "0000000000000000FFFF00000100007F"}, "127.0.0.1 and nothing else"
            assert len(processes(run)) > 3
            process.send_signal(number)
            assert process.stderr is not None
            said = process.stderr.read()
        now = finished()
        assert len(now) < 240, "it was stopped on the way"
        assert {name: now[name] for name in kept} == kept, "nothing is done twice"
        kept = now
        if number != signal.SIGKILL:
            assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
            assert said == "error: stopped; no file was left half written\n"
    result = lam_export(*command)
    assert result.returncode == 0, result.stderr
    assert "240 files, " in result.stderr
    now = finished()
    assert {name: now[name] for name in kept} == kept
    assert len(now) == 240
    assert rows(out)[0] == sorted(TEXTS)
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith("part-")) == ["_plan.json"]


IDLE = """
import os, signal, time
from lam_engines.bulk.cluster import LOCAL, ray_at
from lam_engines.bulk.pool import ActorPool

class Worker:
    def work(self, item):
        time.sleep(0.3)
        return os.getpid()

if __name__ == "__main__":
    with ray_at(LOCAL, 3, 0):
        import ray
        pool = ActorPool(ray.remote(Worker).remote, 3, 3, lambda: None)
        while len(processes := set(pool.run("work", [(i,) for i in range(6)], last=False))) < 3:
            pass
        for process in processes:
            os.kill(process, signal.SIGKILL)
        time.sleep(1)
        found = list(pool.run("work", [("the one piece",)]))
        print(len(found), set(found) & processes)
"""


def test_workers_that_die_idle_count_for_nothing() -> None:
    """Three workers die with their machine while they have no work. The next piece of work is not to blame."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", IDLE], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert "1 set()\n" in result.stdout


@pytest.mark.slow
def test_memory_is_flat_over_a_thousand_partitions(tiny_bundle: Path, tmp_path: Path) -> None:
    """Of the driver and of the worker, from the 200th partition on."""
    source, out = tmp_path / "texts.txt", tmp_path / "out"
    source.write_text("".join(f"the dog runs {i}\n" for i in range(10_000)))
    command = ("embed", tiny_bundle, "--ray", "--input", source, "-o", out, "--workers", 1, "--partition-rows", 10)

    def held() -> dict[str, int]:
        """Kilobytes of the driver's and the worker's own memory."""
        found = {}
        for process in [Path(f"/proc/{driver.pid}"), *processes(run)]:
            name = (process / "cmdline").read_bytes().partition(b"\0")[0].decode()
            if process.name == str(driver.pid) or name.startswith("ray::PartitionEmbedder"):
                status = (process / "status").read_text()
                found[name.partition(".")[0]] = int(re.findall(r"RssAnon:\s+(\d+)", status)[0])
        return found

    with started(*command) as (driver, run):
        wait_for(lambda: len(list(out.glob("part-*"))) >= 200)
        before = held()
        wait_for(lambda: len(list(out.glob("part-*"))) >= 950)
        after = held()
        driver.send_signal(signal.SIGINT)
    assert len(before) == 2, before
    assert all(after[name] < before[name] + 30_000 for name in before), (before, after)


def test_an_error_of_a_worker_is_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    """Files are checked when they are planned; here one changes behind the plan's back, its time set back."""
    source, out = tmp_path / "a.txt", tmp_path / "out"
    source.write_text("one\ntwo\n")
    work = Work(
        bundle="bundle",
        manifest_sha256=file_entry(tiny_bundle / MANIFEST).sha256,
        engine="onnxruntime",
        precision=None,
        device=None,
        reading=Reading(),
        partition_rows=PARTITION_ROWS,
    )
    write_plan(out, make_plan(work, source))
    about = source.stat()
    source.write_bytes(b"one\n\xff\xff\xff\n")
    os.utime(source, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert "a.txt, line 2: expected UTF-8" in refusal("embed", tiny_bundle, "--ray", "--input", source, "-o", out)


def test_what_is_refused(tiny_bundle: Path, source: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        return refusal("embed", tiny_bundle, *arguments)

    assert "expected an input and an output folder with --ray" in refused("--ray", "--input", source)
    assert "expected an input and an output folder with --ray" in refused(
        "--ray", "--input", "-", "-o", tmp_path / "out"
    )
    assert "expected no texts as arguments with --ray" in refused("--ray", "a text")
    assert "expected --ray with --workers" in refused("--workers", 2, "a text")
    inside = ("--ray", "--input", source, "-o", source / "out")
    assert "expected an output outside of the input's folder" in refused(*inside)
    (tmp_path / "file").touch()
    assert "expected a folder for the output" in refused("--ray", "--input", source, "-o", tmp_path / "file")
    strange = ("--ray", "--input", source, "-o", source.parent)
    assert "expected an empty folder for the output" in refused(*strange)
    assert "expected an engine that runs fp8" in refused(
        "--ray", "--input", source, "-o", tmp_path / "out", "--precision", "fp8"
    )
    assert not (tmp_path / "out").exists()
