"""A memory that is saved again and again by a process that is killed at any moment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from memories import Case

from lam_export.pipelines.export_memory import export_memory
from lam_export.validate import memory_parity

# The process forks: one import for all that are killed. Each child goes on from the snapshot, and tells of each save
# before it begins and when it is done, with what the memory then recalls. What is found after the kill must be the last
# save that was done, or the one that had begun.
SAVE_AND_DIE = """
import os, random, signal, sys, time
import numpy as np
import onnxruntime
from lam_engines.memories.engine import MemoryEngine

bundle, path, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
reader = MemoryEngine(bundle)
question = np.ones(reader.hidden_size)
RECORD = 1 + 8 + 16

def record(kind, memory):
    return kind + memory.stored.to_bytes(8, "little") + memory.recall(question).tobytes()[:16]

def save_for_ever(pipe):
    memory = MemoryEngine(bundle)
    if os.path.exists(path):
        memory.load(path)
    while True:
        memory.store(np.random.default_rng(memory.stored).normal(size=memory.hidden_size))
        os.write(pipe, record(b"b", memory))
        memory.save(path)
        os.write(pipe, record(b"d", memory))

random.seed(0)
for _ in range(kills):
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            save_for_ever(theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    told, begun, takes = b"", 0.0, 0.0
    while told[-RECORD:-RECORD + 1] != b"b" or not takes:  # until a save has begun after one whose time was taken
        more = os.read(ours, RECORD)
        assert more, "the process ended by itself"
        told += more
        if told[-RECORD:-RECORD + 1] == b"b":
            begun = time.monotonic()
        else:
            takes = time.monotonic() - begun
    time.sleep(random.uniform(0, 1.2 * takes))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    while more := os.read(ours, 65536):
        told += more
    os.close(ours)
    records = [told[i : i + RECORD] for i in range(0, len(told), RECORD)]
    done = [r for r in records if r[:1] == b"d"][-1]
    in_flight = records[-1] if records[-1][:1] == b"b" else None
    reader.load(path)
    found = record(b"d", reader)
    which = "done" if found == done else "in flight" if in_flight and found[1:] == in_flight[1:] else "LOST"
    print(os.waitstatus_to_exitcode(status), which, in_flight is not None, reader.stored)
"""


@pytest.fixture(scope="module")
def large_memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its state is 2 MB, so that a save takes a while; compared for a few steps, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_parity, "STEPS", 3)
        return export_memory(Case(512, 1).checkpoint, tmp_path_factory.mktemp("large") / "memory").path


@pytest.mark.heavy
@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_while_saving(large_memory: Path, tmp_path: Path, kills: int) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SAVE_AND_DIE, str(large_memory), str(tmp_path / "memory"), str(kills)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    rows = [line.rsplit(" ", 2) for line in result.stdout.splitlines()]
    assert len(rows) == kills
    assert {kind for kind, _, _ in rows} <= {"-9 done", "-9 in flight"}
    saves = [int(stored) for _, _, stored in rows]
    assert saves == sorted(saves), "never back"
    assert sum(during == "True" for _, during, _ in rows) > kills // 4, "many were killed within a save"
