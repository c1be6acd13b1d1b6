"""Embedding on a Ray cluster: its throughput beside plain processes, and the driver's time for a partition.

    PYTHONPATH=tests/support python benchmarks/cluster.py my-model --texts 20000

Nodes of a core each, on loopback, embed a folder; then as many processes of the plain engine embed it, each a third of
its own, in turn, several times. The outputs are compared first. The second table is a simulation: the driver's pool
with many workers that only wait, so that what is measured is the driver alone. As many workers as stand in its last
column, with partitions of that many seconds, keep it busy all the time; more would wait for it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from clusters import ADDRESSES, Nodes, cluster

from lam_engines.bulk.pool import ActorPool
from lam_engines.files import read_texts

COMMAND = [sys.executable, "-c", "from lam_export.cli import main; main()", "embed"]
SIMULATED = (10, 100, 1000)
PARTITION_SECONDS = 30


def run(*arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def finish(processes: "list[subprocess.Popen[bytes]]") -> None:
    for process in processes:
        if process.wait():
            sys.exit("a run failed")


def vectors(folders: list[Path]) -> dict[str, bytes]:
    tables = [pq.read_table(folder) for folder in folders]
    return {row["text"]: str(row["embedding"]).encode() for table in tables for row in table.to_pylist()}


def throughput(bundle: Path, texts: int, times: int, nodes: Nodes) -> None:
    """Print texts a second of workers and of processes, and the ratio of each pair of runs."""
    workers = len(ADDRESSES)
    options = ("--threads", 1, "--partition-rows", max(1, texts // 30))
    ratios = []
    for turn in range(times):
        folder = Path(tempfile.mkdtemp(prefix="lam-cluster-"))
        for i in range(workers):
            (folder / "in").mkdir(exist_ok=True)
            lines = (f"text {j} of {texts}: {'the quick brown fox ' * (j % 5)}\n" for j in range(i, texts, workers))
            (folder / "in" / f"{i}.txt").write_text("".join(lines))
        since = time.perf_counter()
        place = ("--ray", "--address", nodes.address, "--input", folder / "in", "-o", folder / "ray")
        finish([run(bundle, *place, *options)])
        with_ray = time.perf_counter() - since
        since = time.perf_counter()
        outputs = [folder / f"plain{i}" for i in range(workers)]
        inputs = [folder / "in" / f"{i}.txt" for i in range(workers)]
        finish([run(bundle, "--input", a, "-o", b, *options) for a, b in zip(inputs, outputs, strict=True)])
        plain = time.perf_counter() - since
        if not turn:
            assert vectors([folder / "ray"]) == vectors(outputs), "the embeddings differ"
            assert sum(1 for _ in read_texts(folder / "in")) == texts
        ratios.append(plain / with_ray)
        print(f"{workers} workers {texts / with_ray:,.0f} texts/s, {workers} processes {texts / plain:,.0f} texts/s")
    print(f"ratio: {statistics.median(ratios):.2f} (of {', '.join(f'{ratio:.2f}' for ratio in ratios)})")


def simulate(workers: int, pieces: int) -> float:
    """The driver's seconds for a partition, with workers that are coroutines of a few real actors."""
    import asyncio

    import ray

    class Many:
        async def embed(self, item: object) -> tuple[int, int]:
            await asyncio.sleep(0.2)
            return 8192, 0

    remote: Any = ray.remote
    actors = [remote(num_cpus=0, max_concurrency=1000)(Many).remote() for _ in range(2)]
    ray.get([actor.embed.remote(0) for actor in actors])

    class Handle:
        def __init__(self, actor: Any) -> None:
            self.embed = actor.embed
            self.__ray_ready__ = actor.__ray_ready__

    made = iter(range(10**9))
    pool = ActorPool(lambda: Handle(actors[next(made) % len(actors)]), workers, workers, lambda: None)
    since = time.process_time()
    assert sum(1 for _ in pool.run("embed", [(i,) for i in range(pieces)], last=False)) == pieces
    return (time.process_time() - since) / pieces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=3)
    args = parser.parse_args()
    import ray

    with cluster(work_on_head=True) as nodes:
        throughput(args.bundle.absolute(), args.texts, args.times, nodes)
        ray.init(address=nodes.address, logging_level=40, log_to_driver=False)
        print("workers | driver's ms a partition | workers that keep it busy, with 30 s a partition")
        for workers in SIMULATED:
            seconds = simulate(workers, max(2000, 4 * workers))
            print(f"{workers} | {1000 * seconds:.2f} | {PARTITION_SECONDS / seconds:,.0f}")
        ray.shutdown()


if __name__ == "__main__":
    main()
