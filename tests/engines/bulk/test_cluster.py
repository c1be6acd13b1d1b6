"""``lam-export embed --ray --address``: three nodes, from object storage to object storage, with deaths on the way."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from clusters import ADDRESSES, Nodes, bucket, cluster
from commands import MAIN, WIDE, lam_export, lam_export_process

from lam_engines.contract import CACHE_VARIABLE
from lam_engines.storage import place_of

pytestmark = [pytest.mark.slow, pytest.mark.needs("moto", "ray", "s3fs", "upath")]
ROWS, FILES, PARTITION = 200_000, 4, 4000


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with bucket() as uri:
        os.environ[CACHE_VARIABLE] = str(tmp_path_factory.mktemp("cache"))
        yield place_of(uri)


@pytest.fixture(scope="module")
def nodes(storage: Path) -> Iterator[Nodes]:
    with cluster() as nodes:
        yield nodes


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("".join(f"the dog runs {i}\n" for i in range(300)))
    return folder


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def refused(*arguments: object) -> str:
    """The line with which a command refuses, which has a process of its own."""
    result = lam_export_process("embed", *arguments)
    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith("error: "), result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("part-")}


def test_a_folder_that_all_nodes_share(
    nodes: Nodes, tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle travels to the nodes, which have none. Once as in a job of the cluster, once from outside."""
    options = ("--input", texts, "--partition-rows", 100)
    assert lam_export("embed", tiny_bundle, *options, "-o", tmp_path / "local").returncode == 0
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    for out, address in ((tmp_path / "out", "auto"), (tmp_path / "client", nodes.client)):
        on_cluster = ("--ray", "--address", address, "--workers", "1..2")
        result = lam_export_process("embed", tiny_bundle, *options, *on_cluster, "-o", out)
        assert (result.returncode, result.stderr) == (0, f"Wrote {out} (300 embeddings of 32 in 3 files)\n")
        assert parts(out) == parts(tmp_path / "local")


def test_the_workers_follow_the_cluster(nodes: Nodes, tiny_bundle: Path, texts: Path, tmp_path: Path) -> None:
    """A node comes during a run and gets a worker. It dies, and the run goes on."""
    (texts / "a.txt").write_text("".join(f"the dog runs {i}\n" for i in range(100_000)))
    out, new = tmp_path / "out", "127.0.0.5"
    command = ["embed", tiny_bundle, "--ray", "--address", nodes.address, "--workers", "2..8", "--input", texts]
    command += ["-o", out, "--partition-rows", 20]

    def finished() -> int:
        return len(list(out.glob("part-*")))

    environment = {**os.environ, **WIDE, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", MAIN, *map(str, command)], env=environment) as driver:
        wait_for(lambda: finished() >= 5)
        nodes.add(new)
        wait_for(lambda: nodes.workers(new) == 1)
        nodes.kill(new)
        wait_for(lambda: nodes.workers(new) == 0)
        killed_at = finished()
        wait_for(lambda: finished() >= killed_at + 20)
        assert driver.poll() is None
        driver.send_signal(signal.SIGINT)
    assert driver.returncode == 130


def test_what_is_refused(nodes: Nodes, tiny_bundle: Path, texts: Path, tmp_path: Path) -> None:
    run = (tiny_bundle, "--ray", "--input", texts, "-o", tmp_path / "out", "--address")
    with socket.socket() as taken:  # bound, and deaf
        taken.bind(("127.0.0.1", 0))
        assert "expected a Ray cluster at 127.0.0.1:" in refused(*run, f"127.0.0.1:{taken.getsockname()[1]}")
    web = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    assert f"expected a Ray cluster at {web}, found none" in refused(*run, web)
    swapped = nodes.client.removeprefix("ray://")
    assert f"expected the head of a Ray cluster at {swapped}, found another server" in refused(*run, swapped)
    assert "expected Ray Client at" in refused(*run, f"ray://{nodes.address}")
    assert "expected --address auto, HOST:PORT or ray://HOST:PORT, found 'nonsense'" in refused(*run, "nonsense")
    assert not (tmp_path / "out").exists()
    old = lam_export_process("embed", *run, nodes.address, code=f"import ray; ray.__version__ = '2.20.0'; {MAIN}")
    assert old.returncode == 1
    assert "Version mismatch" in old.stderr
    assert len(old.stderr.splitlines()) == 1
    python = (
        "import ray; from ray._private import utils; utils.compute_version_info = lambda: (ray.__version__, '3.9.1'); "
    )
    old = lam_export_process("embed", *run, nodes.client, code=python + MAIN)
    assert old.returncode == 1
    assert "install the cluster's versions of Ray and Python here" in old.stderr
    assert len(old.stderr.splitlines()) == 1
    broken = texts / "a.txt"
    broken.write_bytes(b"fine\n\xff\n")
    said = refused(*run, nodes.address)
    assert "a.txt, line 2: expected UTF-8" in said
    assert any(f"(on {address})" in said for address in ADDRESSES)


def test_deaths_on_the_way(nodes: Nodes, storage: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    """A node and then the driver are killed. Every row is there once, with the bits of a local run."""
    (tmp_path / "in").mkdir()
    for i in range(FILES):
        rows = range(i * ROWS // FILES, (i + 1) * ROWS // FILES)
        lines = [json.dumps({"id": row, "text": f"the dog {'runs ' * (row % 7)}{row}"}) for row in rows]
        content = gzip.compress("\n".join(lines).encode(), 1)
        (tmp_path / "in" / f"{i}.jsonl.gz").write_bytes(content)
        (storage / "in" / f"{i}.jsonl.gz").write_bytes(content)
    for path in tiny_bundle.iterdir():
        if path.is_file():
            (storage / "bundle" / path.name).write_bytes(path.read_bytes())
    options = ("--id-column", "id", "--partition-rows", PARTITION, "--threads", 1)
    out = storage / "out"
    command = ("embed", storage / "bundle", "--ray", "--address", nodes.address, "--input", storage / "in", "-o", out)

    def finished() -> int:
        return sum(path.name.startswith("part-") for path in out.iterdir()) if out.is_dir() else 0

    environment = {**os.environ, **WIDE, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", MAIN, *map(str, command + options)], env=environment) as driver:
        wait_for(lambda: finished() >= 3)
        nodes.kill(ADDRESSES[1])
        killed_at = finished()
        wait_for(lambda: finished() >= killed_at + 3)
        driver.send_signal(signal.SIGKILL)
    before = finished()
    assert before < ROWS // PARTITION, "it was killed on the way"
    result = lam_export_process(*command, *options)
    assert result.returncode == 0, result.stderr
    assert "(200,000 embeddings of 32 in 52 files, " in result.stderr
    assert (
        lam_export("embed", tiny_bundle, "--input", tmp_path / "in", "-o", tmp_path / "local", *options).returncode == 0
    )
    local = parts(tmp_path / "local")
    assert parts(out) == local
    ids = [int(i) for name in local for i in pq.read_table(tmp_path / "local" / name)["id"].to_pylist()]
    assert sorted(ids) == list(range(ROWS))
    assert not [path.name for path in out.iterdir() if path.name.startswith("_lock")]
