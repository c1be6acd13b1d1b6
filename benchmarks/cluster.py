"""Embedding on a Ray cluster: its throughput beside plain processes, and the driver's time for a partition.

    PYTHONPATH=tests/support python benchmarks/cluster.py my-model

Nodes of a core each, on loopback, embed a folder; then as many processes of the plain engine embed it, each a third of
its own, in turn, several times. A small folder comes first: its embeddings are compared, and it shows the seconds that
a start takes. The time of a run includes its start. On a machine with fewer cores than nodes both sides share them, and
what Ray itself uses is in its figure. CPU seconds are those of all processes, on which other
work on the machine has little influence.

The second table is a simulation: the driver's pool with many workers that only wait, so that what is measured is the
driver alone. As many workers as stand in its last column, with partitions of that many seconds, keep it busy all the
time; more would wait for it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from clusters import ADDRESSES, cluster

from lam_engines.bulk.pool import ActorPool

COMMAND = [sys.executable, "-c", "from lam_export.cli import main; main()", "embed"]
SIMULATED = (10, 100, 1000)
PARTITION_SECONDS = 30
MARK = f"LAM_BENCHMARK={os.getpid()}".encode()
"""In the environment of all processes: Ray's are no children of this one."""


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


def ticks() -> dict[str, int]:
    """Processor time of every process that has this run's mark in its environment."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if MARK in (process / "environ").read_bytes():
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                found[process.name] = int(fields[11]) + int(fields[12])
    return found


def timed(start: "Callable[[], list[subprocess.Popen[bytes]]]") -> tuple[float, float]:
    """Seconds of the clock and of processors until all processes have ended."""
    before, since = ticks(), time.perf_counter()
    found: dict[str, int] = {}
    processes = start()
    while any(process.poll() is None for process in processes):
        found |= ticks()
        time.sleep(0.5)
    finish(processes)
    used = sum(found.values()) - sum(before.get(process, 0) for process in found)
    return time.perf_counter() - since, used / os.sysconf("SC_CLK_TCK")


def pair(bundle: Path, texts: int, address: str, *, ray_first: bool, compare: bool) -> "list[tuple[float, float]]":
    """Both runs of so many texts: seconds on Ray, and in plain processes."""
    workers = range(len(ADDRESSES))
    options = ("--threads", 1, "--partition-rows", max(1, texts // 30))
    with tempfile.TemporaryDirectory(prefix="lam-cluster-") as name:
        folder = Path(name)
        inputs, outputs = ([folder / part / f"{i}.txt" for i in workers] for part in ("in", "plain"))
        for i, path in enumerate(inputs):
            path.parent.mkdir(exist_ok=True)
            lines = (f"text {j} of {texts}: {'the quick brown fox ' * (j % 5)}\n" for j in range(i, texts, len(inputs)))
            path.write_text("".join(lines))
        place = ("--ray", "--address", address, "--input", folder / "in", "-o", folder / "ray")
        sides = [
            lambda: [run(bundle, *place, *options)],
            lambda: [
                run(bundle, "--input", a, "-o", b.with_suffix(""), *options)
                for a, b in zip(inputs, outputs, strict=True)
            ],
        ]
        found = [timed(side) for side in (sides if ray_first else sides[::-1])]
        if compare:
            embedded = vectors([folder / "ray"])
            assert len(embedded) == texts, "texts are missing"
            assert embedded == vectors([path.with_suffix("") for path in outputs]), "the embeddings differ"
    return found if ray_first else found[::-1]


def throughput(bundle: Path, texts: int, times: int, address: str) -> None:
    """Print texts a second of workers and of processes, and the ratio of each pair of runs."""
    count, few = len(ADDRESSES), 300
    on_ray, plain = pair(bundle, few, address, ray_first=True, compare=True)
    print(f"{few} texts, the same embeddings: {count} workers {on_ray[0]:.1f} s, {count} processes {plain[0]:.1f} s")
    ratios, used = [], []
    for turn in range(times):
        on_ray, plain = pair(bundle, texts, address, ray_first=not turn % 2, compare=False)
        ratios.append(plain[0] / on_ray[0])
        used.append(plain[1] / on_ray[1])
        print(
            f"{count} workers {texts / on_ray[0]:,.0f} texts/s ({on_ray[1]:.0f} CPU s), "
            f"{count} processes {texts / plain[0]:,.0f} texts/s ({plain[1]:.0f} CPU s)",
            flush=True,
        )
    for what, found in (("ratio", ratios), ("ratio of CPU seconds", used)):
        print(f"{what}: {statistics.median(found):.2f} (of {', '.join(f'{ratio:.2f}' for ratio in found)})")


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
    parser.add_argument("--texts", type=int, default=30_000)
    parser.add_argument("--times", type=int, default=2)
    args = parser.parse_args()
    os.environ["LAM_BENCHMARK"] = str(os.getpid())
    import ray

    with cluster(work_on_head=True) as nodes:
        throughput(args.bundle.absolute(), args.texts, args.times, nodes.address)
        ray.init(address=nodes.address, logging_level=40, log_to_driver=False)
        print("workers | driver's ms a partition | workers that keep it busy, with 30 s a partition")
        for workers in SIMULATED:
            seconds = simulate(workers, max(2000, 4 * workers))
            print(f"{workers} | {1000 * seconds:.2f} | {PARTITION_SECONDS / seconds:,.0f}")
        ray.shutdown()


if __name__ == "__main__":
    main()
