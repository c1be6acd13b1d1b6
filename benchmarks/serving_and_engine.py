"""What serving costs: a server beside the engine alone, on the same texts and processors; and who waits in a mix.

    python benchmarks/serving_and_engine.py demo-bundle
    python benchmarks/serving_and_engine.py demo-bundle --engine openvino --precision bf16
    python benchmarks/serving_and_engine.py demo-bundle --triton

Engine and server take turns. First, tokens a second with many clients of one text each, the processors' time for that,
and the time of one short text alone. The engine gets all texts at once, and then as many at once as there are clients,
which is what the server has. Then short and long texts at once: how long each kind takes beside the other.

The clients compute on the same processors. They are one process that sends bytes made beforehand, about 0.08 ms a
request, and compares the answers after the load (Triton's are threads of this process, which cost more). Their time
stands in a column, and there are two ratios of throughput: by the clock, and by the time that is left when the clients'
share of the processors is taken off, as if they ran on another machine.

Shows the tables in Markdown, and writes them to a file. Every answer is compared. Exit code 2 if one was wrong or a
request failed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from serving_load.connections import Connection, connect
from serving_load.load import Mix, closed
from serving_load.schema import Load

from lam_engines import load_engine
from lam_engines.bundles.whole import write_whole
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.machine import processors
from lam_engines.runtimes.registry import DEFAULT
from lam_engines.serving.triton import ServingOptions, TritonServer, write_repository
from lam_export.evidence.provenance import Setting, machine
from lam_export.evidence.tables import Table, markdown_table

WARM_UP = 3.0
"""Seconds of load before anything counts."""
SHORT, LONG = "a short text of a few words", "the long text goes on and on, " * 250
"""About 8 and 2,000 tokens."""
LONG_SHARE = 4
"""One client in so many sends long texts."""
ROUNDED = 5e-3
"""Largest difference that the neighbours in a batch may make in a rounded precision."""


@contextmanager
def own_server(bundle: Path, arguments: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """``lam-export serve`` in a process of its own; its address and process."""
    command = [sys.executable, "-m", "lam_export", "serve", str(bundle), "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            yield f"{next(word for word in words if word.startswith('http')).rstrip(';')}/v1", [process.pid]
        finally:
            process.terminate()


@contextmanager
def triton(bundle: Path, options: ServingOptions) -> Iterator[tuple[str, list[int]]]:
    """Its address and processes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        TritonServer(write_repository(bundle, Path(folder) / "models", options)) as server,
    ):
        yield f"grpc://{server.grpc_url}", [server.pid or 0, *server.model_pids]


def processor_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(found[11]) + int(found[12]) for found in fields) / os.sysconf("SC_CLK_TCK")


def engine_turn(engine: EmbeddingEngine, mix: Mix, at_once: int) -> tuple[float, float]:
    """Tokens a second, and processor seconds for 1,000 tokens."""
    begun, used, tokens = time.perf_counter(), time.process_time(), sum(mix.tokens)
    for start in range(0, len(mix.texts), at_once):
        engine.embed(mix.texts[start : start + at_once])
    return tokens / (time.perf_counter() - begun), (time.process_time() - used) / tokens * 1e3


def engine_once(engine: EmbeddingEngine, seconds: float) -> float:
    """Median milliseconds of one short text."""
    took, end = [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        engine.embed([SHORT])
        took.append(time.perf_counter() - begun)
    return median(took) * 1e3


def in_turns(
    asked: Connection,
    pids: Sequence[int],
    engine: EmbeddingEngine,
    mix: Mix,
    short: Mix,
    *,
    clients: int,
    rounds: int,
    seconds: float,
) -> tuple[list[tuple[float, ...]], list[Load]]:
    """The rows of engine and server in turns, and the loads."""
    rows: list[tuple[float, ...]] = []
    loads: list[Load] = []
    for turn in range(rounds):
        (alone, cost), once = engine_turn(engine, mix, len(mix.texts)), engine_once(engine, seconds / 4)
        few, few_cost = engine_turn(engine, mix, clients)
        before = processor_seconds(pids)
        many = closed(asked, mix, clients=clients, seconds=seconds)
        spent = (processor_seconds(pids) - before) / max(1, many.tokens) * 1e3
        one = closed(asked, short, clients=1, seconds=seconds / 4)
        served = many.tokens / many.seconds
        apart = many.tokens / (many.seconds - many.clients_processor_seconds / processors())
        clients_spent = many.clients_processor_seconds / max(1, many.tokens) * 1e3
        throughput = (alone, few, served, served / alone, apart / alone, apart / few)
        latency = (once, p(one, 50), p(one, 50) / once)
        rows.append((*throughput, cost, few_cost, spent, clients_spent, *latency))
        loads += [many, one]
        print(
            f"turn {turn + 1}: {served / alone:.2f} of the throughput, {p(one, 50) / once:.2f} of the time", flush=True
        )
    return rows, loads


def p(load: Load, quantile: int) -> float:
    """Milliseconds in which so many percent of the requests were answered."""
    return load.quantiles[quantile] * 1e3 if load.quantiles else float("nan")


def main(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    engine: Annotated[str, typer.Option(help="Of both.")] = DEFAULT,
    precision: Annotated[str, typer.Option(help="Of both.")] = "fp32",
    use_triton: Annotated[bool, typer.Option("--triton", help="Triton instead of the own server.")] = False,
    clients: Annotated[int, typer.Option(help="That ask at once, one text each.")] = 32,
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of each load.")] = 20.0,
    texts: Annotated[int, typer.Option(help="Different ones.")] = 500,
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the tables.")] = Path("serving_and_engine.md"),
) -> None:
    setting = Setting.here(None)
    if note := setting.warning():
        print(note)
    with load_engine(bundle, engine, precision=precision) as alone:
        tolerance = Mix.tolerance if precision == "fp32" else ROUNDED
        mix, short, long = (
            replace(made, tolerance=tolerance)
            for made in (Mix.of(alone, texts), Mix.each(alone, [SHORT]), Mix.each(alone, [LONG]))
        )
        started = (
            triton(bundle, ServingOptions(engine=engine, precision=precision))
            if use_triton
            else own_server(bundle, ("--engine", engine, "--precision", precision))
        )
        with started as (url, pids):
            asked = connect(url, timeout=120, connections=clients)
            closed(asked, mix, clients=clients, seconds=WARM_UP)
            rows, loads = in_turns(asked, pids, alone, mix, short, clients=clients, rounds=rounds, seconds=seconds)
            few = max(1, clients // LONG_SHARE)
            apart = [closed(asked, short, clients=clients - few, seconds=seconds)]
            apart += [closed(asked, long, clients=few, seconds=seconds)]
            with ThreadPoolExecutor(2) as pool:
                both = [(short, clients - few), (long, few)]
                together = list(pool.map(lambda x: closed(asked, x[0], clients=x[1], seconds=seconds), both))
    loads += [*apart, *together]
    middle = tuple(map(median, zip(*rows, strict=True)))
    figures = (*["{:,.0f}"] * 3, *["{:.2f}"] * 3, *["{:.3f}"] * 4, "{:.2f}", "{:.2f}", "{:.2f}")
    cells = [tuple(f.format(x) for f, x in zip(figures, row, strict=True)) for row in (middle, *rows)]
    head = (
        *("", "engine, tokens/s", f"{clients} at once", "served"),
        *("ratio", "without the clients", f"of {clients} at once without the clients"),
        *("engine, processor s for 1,000 tokens", f"{clients} at once", "server", "clients"),
        *("engine, one short text, p50 ms", "served", "ratio"),
    )
    names = ("median", *(f"turn {i + 1}" for i in range(rounds)))
    kinds = (f"{clients - few} clients with {short.tokens[0]} tokens", f"{few} with {long.tokens[0]:,} tokens")
    waits = [
        (f"{kind}, {how}", f"{load.requests / load.seconds:,.1f}", *(f"{p(load, q):,.0f}" for q in (50, 95, 99, 100)))
        for how, found in (("alone", apart), ("at once", together))
        for kind, load in zip(kinds, found, strict=True)
    ]
    server = "Triton" if use_triton else "own server"
    tables = (
        Table("Beside the engine", head, tuple((n, *c) for n, c in zip(names, cells, strict=True)), 1),
        Table("A mix", ("", "requests/s", "p50 ms", "p95 ms", "p99 ms", "slowest"), tuple(waits), 1),
    )
    load = "unknown" if setting.load is None else f"{setting.load:.2f}"
    about = f"{server}, {alone.file}, {precision}, {clients} clients; {machine()}; load before: {load}"
    written = "\n\n".join([about, *map(markdown_table, tables)]) + "\n"
    print(written)
    write_whole(output, written.encode())
    if any(load.errors or load.wrong for load in loads):
        print(f"errors {[dict(load.errors) for load in loads]}, wrong {sum(load.wrong for load in loads)}")
        raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
