"""What serving costs: Triton with many clients beside the engine alone, on the same texts with the same threads.

    python benchmarks/serving_and_engine.py demo-bundle
    python benchmarks/serving_and_engine.py demo-bundle --rounds 1 --seconds 600

Engine and server take turns. Shows tokens a second of both; where the processors' time went, by process; from the
server's statistics, how long a text waited and was computed; and the memory of the server's processes over time. Exit
code 2 if an answer was wrong or a request failed.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from serving_load.connections import Connection, connect
from serving_load.load import Mix, closed

from lam_engines import load_engine
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.machine import processors
from lam_engines.serving.triton import ServingOptions, TritonServer, write_repository

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
WARM_UP = 5.0
"""Seconds of load before anything counts."""


def processor_seconds(pid: int) -> float:
    """User and system time of a process and all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_mb(pids: list[int]) -> float:
    """What processes hold, shared pages counted in each."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * _PAGE / 1e6


def processes(server: TritonServer) -> dict[str, int]:
    """Name to process of the server's parts."""
    found = {"tritonserver": server.pid or 0}
    for pid in sorted(server.model_pids):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        model = next(part for part in ("lam_tokenizer", "lam_core") if any(part in word for word in words))
        found[f"{model} {pid}" if model in found else model] = pid
    return found


@contextmanager
def sampled(pids: list[int], every: float) -> Iterator[list[float]]:
    """Memory in MB, taken again and again while the block runs."""
    samples: list[float] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(every):
            samples.append(resident_mb(pids))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def engine_turn(engine: EmbeddingEngine, mix: Mix) -> tuple[float, float]:
    """Tokens a second, and processor seconds for 1,000 tokens."""
    wall, used = time.perf_counter(), time.process_time()
    engine.embed(mix.texts)
    tokens = sum(mix.tokens)
    return tokens / (time.perf_counter() - wall), (time.process_time() - used) / tokens * 1e3


def server_turn(
    asked: Connection, server: TritonServer, mix: Mix, clients: int, seconds: float
) -> tuple[float, dict[str, float], list[float], bool]:
    """Tokens a second; processor seconds for 1,000 tokens by process; memory over time; whether all went well."""
    parts = processes(server)
    before = {name: processor_seconds(pid) for name, pid in parts.items()} | {"clients": time.process_time()}
    accounts = {account.model: account for account in asked.accounts()}
    with sampled(list(parts.values()), max(1.0, seconds / 60)) as memory:
        load = closed(asked, mix, clients=clients, seconds=seconds)
    after = {name: processor_seconds(pid) for name, pid in parts.items()} | {"clients": time.process_time()}
    used = {name: (after[name] - before[name]) / load.tokens * 1e3 for name in before}
    for account in asked.accounts():
        if account.model != "lam_embed":
            earlier = accounts[account.model]
            requests = account.requests - earlier.requests
            queue, compute = (
                (getattr(account, name) * account.requests - getattr(earlier, name) * earlier.requests) / requests
                for name in ("queue", "compute")
            )
            together = requests / (account.executions - earlier.executions)
            print(
                f"    {account.model}: {together:.1f} texts together, waited {queue:.1f} ms, computed {compute:.1f} ms"
            )
    good = not load.errors and not load.wrong
    print(f"    {load.requests} requests, errors {load.errors}, wrong {load.wrong}, max-abs {load.max_abs:.1e}")
    return load.tokens / load.seconds, used, memory, good


def main(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    clients: Annotated[int, typer.Option(help="That ask at once, one text each.")] = 32,
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of each turn of the server.")] = 20.0,
    texts: Annotated[int, typer.Option(help="Different ones.")] = 500,
    instances: Annotated[int, typer.Option(help="Batches that the server computes at the same time.")] = 1,
    server_threads: Annotated[int | None, typer.Option(help="Of the network in the server.")] = None,
) -> None:
    threads = processors()
    options = ServingOptions(instances=instances, threads=server_threads)
    with tempfile.TemporaryDirectory() as folder, load_engine(bundle, threads=threads) as engine:
        mix = Mix.of(engine, texts)
        repository = write_repository(bundle, Path(folder) / "models", options)
        with TritonServer(repository) as server:
            asked = connect(
                f"grpc://{server.grpc_url}",
                timeout=120,
                connections=clients,
                metrics=f"http://{server.metrics_url}/metrics",
            )
            closed(asked, mix, clients=clients, seconds=WARM_UP)
            ratios, costs, good = [], [], True
            for turn in range(rounds):
                alone, cost = engine_turn(engine, mix)
                print(f"{turn + 1}. engine alone {alone:,.0f} tokens/s, {cost:.2f} processor seconds for 1,000 tokens")
                served, used, memory, fine = server_turn(asked, server, mix, clients, seconds)
                spent = ", ".join(f"{name} {figure:.3f}" for name, figure in used.items())
                print(f"    served {served:,.0f} tokens/s, {served / alone:.2f} of the engine's")
                print(f"    processor seconds for 1,000 tokens: {spent}")
                later = memory[len(memory) // 10 :] or [0.0]  # what a server needs at most, it soon has
                over_time = ", ".join(f"{later[i * (len(later) - 1) // 4]:,.0f}" for i in range(5))
                print(
                    f"    memory over time {over_time} MB; at most {max(later) / later[0] - 1:.1%} more than at first"
                )
                ratios.append(served / alone)
                costs.append(cost / sum(used.values()))
                good &= fine
    print(
        f"median: {median(ratios):.2f} of the engine's throughput, {median(costs):.2f} of its work per processor second"
    )
    if not good:
        raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
