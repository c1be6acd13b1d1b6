"""The lock of an output on object storage: one run at a time, whatever dies, stands still or begins at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clusters import bucket

from lam_engines.bulk import lease
from lam_engines.bulk.output import locked
from lam_engines.files import OutputError
from lam_engines.storage import create, place_of, read_at_once, state_of

pytestmark = [pytest.mark.heavy, pytest.mark.needs("moto", "s3fs", "upath")]


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    with bucket() as uri:
        yield uri


@pytest.fixture
def out(storage: str, tmp_path: Path) -> Path:
    return place_of(f"{storage}/{tmp_path.name}/out")


def test_one_run_at_a_time(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_BEAT", 0.1)
    with locked(out), pytest.raises(OutputError, match="another run is writing to"), locked(out):
        pass
    assert not (out).exists()


def test_a_lock_is_read_while_it_is_written(out: Path) -> None:
    lock, contents, end = out / "_lock-000001.json", {b"one", b"and another"}, threading.Event()
    lock.write_bytes(b"one")

    def write() -> None:
        while not end.is_set():
            for content in contents:
                lock.write_bytes(content)

    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(write)
        try:
            assert {read_at_once(lock) for _ in range(100)} <= contents
        finally:
            end.set()
        writing.result()


def test_a_lock_that_was_left_behind(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_BEAT", 0.1)
    monkeypatch.setattr(lease, "_PATIENCE", 0.5)
    said: list[str] = []
    create(out / "_lock-000007.json", b"of a run that was killed")
    with pytest.raises(FileExistsError):
        create(out / "_lock-000007.json", b"")
    with locked(out, said.append) as check:
        assert [path.name for path in (out).iterdir()] == ["_lock-000008.json"]
        assert said == ["looking whether another run is alive"]
        check()
        create(out / "_lock-000009.json", b"of a run that took over")
        with pytest.raises(OutputError, match="another run has taken over"):
            for _ in range(600):
                lease.time.sleep(0.1)
                check()
    assert state_of(out / "_lock-000009.json").bytes


def test_a_lock_of_its_own_number_is_another_run_s(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This run stood still while another one took over and ended, and a third one began."""
    monkeypatch.setattr(lease, "_BEAT", 0.05)
    with locked(out) as check:
        (lock,) = (out).iterdir()
        with pytest.raises(OutputError, match="another run has taken over"):
            for _ in range(600):
                lock.write_bytes(b"of the third")  # which renews it too
                lease.time.sleep(0.1)
                check()
        lock.write_bytes(b"of the third")
    assert lock.read_bytes() == b"of the third"


def test_two_runs_that_begin_at_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one begins between this one's look at the folder and its lock."""
    take = lease.Lease.take

    def late(lock: lease.Lease) -> bool:
        create(out / "_lock-000005.json", b"of the other")
        return take(lock)

    monkeypatch.setattr(lease.Lease, "take", late)
    with pytest.raises(OutputError, match="another run has just begun"), locked(out):
        pass
    assert [path.name for path in (out).iterdir()] == ["_lock-000005.json"]
