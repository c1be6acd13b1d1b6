"""A memory in a file: what is saved is what is loaded, and whatever else stands there is refused."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from bundles import forge

from lam_engines.errors import SnapshotError
from lam_engines.memories.engine import MemoryEngine

H = tiny.HIDDEN


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, H)).astype(np.float32)


@pytest.fixture
def memory(tiny_memory: Path) -> MemoryEngine:
    memory = MemoryEngine(tiny_memory)
    memory.store(vectors(5))
    return memory


@pytest.fixture
def snapshot(memory: MemoryEngine, tmp_path: Path) -> Path:
    memory.save(tmp_path / "notes.memory")
    return tmp_path / "notes.memory"


def refusal(memory: MemoryEngine, path: Path) -> str:
    """The message with which a snapshot is refused; the memory stays as it is."""
    before = memory.stored, memory.recall(vectors(3, seed=1))
    with pytest.raises(SnapshotError) as caught:
        memory.load(path)
    assert memory.stored == before[0]
    np.testing.assert_array_equal(memory.recall(vectors(3, seed=1)), before[1])
    message = str(caught.value)
    assert message.isprintable()
    return message


def signed(content: bytes, version: int = 1) -> bytes:
    """A snapshot with the hash that belongs to its content, as an attacker would write it."""
    return b"lam-memory %d %s\n" % (version, hashlib.sha256(content).hexdigest().encode()) + content


def body(snapshot: Path) -> bytes:
    return snapshot.read_bytes().split(b"\n", 1)[1]


def test_there_and_back(memory: MemoryEngine, snapshot: Path, tiny_memory: Path) -> None:
    other = MemoryEngine(tiny_memory)
    other.store(vectors(9, seed=7))
    other.load(snapshot)
    assert other.stored == 5
    np.testing.assert_array_equal(other.recall(vectors(3, seed=1)), memory.recall(vectors(3, seed=1)))
    memory.store(vectors(2, seed=2))
    other.store(vectors(2, seed=2))
    np.testing.assert_array_equal(other.recall(vectors(3, seed=1)), memory.recall(vectors(3, seed=1)))
    other.save(snapshot)
    memory.reset()
    memory.load(snapshot)
    assert memory.stored == 7
    assert os.listdir(snapshot.parent) == ["notes.memory"]


def test_drafts_of_killed_writers_go_once_they_are_old(memory: MemoryEngine, snapshot: Path) -> None:
    old, new = (snapshot.with_name(f".{snapshot.name}.{digit * 32}.partial") for digit in "12")
    for draft in (old, new):
        draft.write_bytes(b"lam-memory 1 ")
    os.utime(old, (1e9, 1e9))
    memory.save(snapshot)
    assert sorted(os.listdir(snapshot.parent)) == sorted([snapshot.name, new.name])


def test_an_empty_memory_can_be_saved(tiny_memory: Path, tmp_path: Path) -> None:
    MemoryEngine(tiny_memory).save(tmp_path / "new" / "empty")
    memory = MemoryEngine(tiny_memory)
    memory.load(tmp_path / "new" / "empty")
    assert memory.stored == 0


def test_a_saved_file_holds_no_more_than_the_format_tells(snapshot: Path) -> None:
    line, header, _ = snapshot.read_bytes().split(b"\n", 2)
    assert line.split()[:2] == [b"lam-memory", b"1"]
    states = 2 * tiny.HEADS * tiny.HEAD_SIZE**2 + tiny.HEADS
    assert len(body(snapshot)) == len(header) + 1 + 4 * states


def test_every_cut_is_seen(memory: MemoryEngine, snapshot: Path) -> None:
    whole = snapshot.read_bytes()
    for size in (0, 1, 5, 60, 77, 200, len(whole) // 2, len(whole) - 1):
        snapshot.write_bytes(whole[:size])
        assert any(said in refusal(memory, snapshot) for said in ("cut short", "the beginning of one")), size
    snapshot.write_bytes(whole + b"\0")
    assert "was altered or cut short" in refusal(memory, snapshot)


def test_every_altered_byte_is_seen(memory: MemoryEngine, snapshot: Path) -> None:
    whole = snapshot.read_bytes()
    for place in [*range(300), *range(300, len(whole), 97)]:
        snapshot.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refusal(memory, snapshot)


def test_a_newer_format(memory: MemoryEngine, snapshot: Path) -> None:
    snapshot.write_bytes(signed(b"whatever there will be", version=2))
    assert "expected snapshot format 1, found 2" in refusal(memory, snapshot)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x80\x04\x95 a pickle", b"{}\n", b"\n" * 1000])
def test_another_file(memory: MemoryEngine, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    assert "expected a memory's snapshot" in refusal(memory, tmp_path / "other")


def test_no_file(memory: MemoryEngine, tmp_path: Path) -> None:
    assert "No such file" in refusal(memory, tmp_path / "none")
    assert "found no file" in refusal(memory, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "found no file" in refusal(memory, tmp_path / "pipe")


def test_forged_snapshots(memory: MemoryEngine, snapshot: Path) -> None:
    """With a hash that fits: nothing in the header or the arrays is believed."""
    header, _, arrays = body(snapshot).partition(b"\n")
    nan = np.frombuffer(arrays, "<f4").copy()
    nan[-1] = np.nan
    for content, said in {
        header + b"\n" + arrays[:-4]: "bytes of state",
        header + b"\n" + nan.tobytes(): "found NaN or infinity",
        b"[1, 2]\n" + arrays: "expected the header",
        b"[" * 100_000 + b"\n" + arrays: "expected the header",
        header.replace(b'"stored":5', b'"stored":-5') + b"\n" + arrays: "expected the header",
        header.replace(b'"head_size":16', b'"head_size":1600000000') + b"\n" + arrays: "found one of layer 1 of",
        header.replace(b"{", b'{"more":1,') + b"\n" + arrays: "expected the header",
    }.items():
        snapshot.write_bytes(signed(content))
        assert said in refusal(memory, snapshot)


def test_a_snapshot_of_another_model(memory: MemoryEngine, snapshot: Path, tiny_memory: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_memory, tmp_path / "other"))
    forge(bundle, lambda fields: fields["checkpoint"].update(sha256="a" * 64))
    other = MemoryEngine(bundle)
    assert "expected a snapshot of layer 1 of checkpoint aaaaaaaaaaaa... (2 heads of 16), found one of layer 1 of " in (
        refusal(other, snapshot)
    )
    forge(bundle, lambda fields: fields.update(checkpoint=memory.bundle.manifest.checkpoint.model_dump()))
    forge(bundle, lambda fields: fields.update(memory_layer=0))
    assert "expected a snapshot of layer 0 of" in refusal(MemoryEngine(bundle), snapshot)


SAVE = """
import sys
import numpy as np
from lam_engines.errors import SnapshotError
from lam_engines.memories.engine import MemoryEngine

bundle, path, size, fill = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if fill:  # the file system, but for a page or so
    with open(path + ".filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(1024)) == 1024:
                pass
        except OSError:
            pass
memory = MemoryEngine(bundle)
memory.store(np.ones(size))
try:
    memory.save(path)
except SnapshotError as error:
    print(error)
"""


def save_under(launcher: tuple[str, ...], head: str, *arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*launcher, sys.executable, "-c", head + SAVE, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_limit_on_the_size_of_files(snapshot: Path, tiny_memory: Path) -> None:
    before = snapshot.read_bytes()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    said = save_under((), limit, tiny_memory, snapshot, H, 0)
    assert f"{snapshot} was not written (File too large); what was there is unchanged" in said
    assert snapshot.read_bytes() == before
    assert os.listdir(snapshot.parent) == [snapshot.name]


def test_a_full_disk(snapshot: Path, tiny_memory: Path) -> None:
    # A small file system, seen by the one process alone and gone with it; the snapshot is copied there first.
    place = snapshot.parent / "mount"
    place.mkdir()
    mount = f"mount -t tmpfs -o size=64k none '{place}' && cp '{snapshot}' '{place}/s' && \"$@\" && ls -A '{place}' && "
    mount += f"cmp '{snapshot}' '{place}/s'"
    launcher = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if not shutil.which("unshare") or subprocess.run([*launcher, "true"], capture_output=True).returncode:
        pytest.skip("needs a user namespace in which a tmpfs can be mounted")
    said, *left = save_under(launcher, "", tiny_memory, place / "s", H, 1).splitlines()
    assert "was not written (No space left on device); what was there is unchanged" in said
    assert left == ["s", "s.filler"]
