"""A served model under load: throughput, latency and errors. Every answer is compared with the engine's own.

    lam-export serve demo-bundle               # or with --triton, for the first two
    python benchmarks/serving.py grpc://127.0.0.1:8001 demo-bundle --clients 1,8,32 --rates 20,50 -o serving
    python benchmarks/serving.py http://127.0.0.1:8000 demo-bundle --metrics http://127.0.0.1:8002/metrics
    python benchmarks/serving.py http://127.0.0.1:8080/v1 demo-bundle --texts 16

Writes serving.html, serving.md and serving.json. Exit code 2 if an answer was wrong.
"""

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from serving_load.connections import connect
from serving_load.load import TOLERANCE, Mix, closed, opened
from serving_load.page import HEAD, row, shown
from serving_load.schema import ServingBenchmark

from lam_engines import load_engine
from lam_engines.errors import LamError
from lam_export.evidence.provenance import Setting, machine, tools
from lam_export.evidence.record import write_record

WARM_UP = 2.0
"""Seconds of load before the measurement."""


def main(
    url: Annotated[str, typer.Argument(help="grpc://HOST:8001, http://HOST:8000 or http://HOST:8080/v1")],
    bundle: Annotated[Path, typer.Argument(help="The bundle that is served.")],
    clients: Annotated[str, typer.Option(help="Clients of each closed load.")] = "1,8,32",
    rates: Annotated[str, typer.Option(help="Requests a second of each open load.")] = "",
    seconds: Annotated[float, typer.Option(help="Seconds of each load.")] = 20.0,
    texts: Annotated[int, typer.Option(min=1, help="Texts in a request.")] = 1,
    mix: Annotated[int, typer.Option(min=1, help="Number of different texts.")] = 500,
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 60.0,
    metrics: Annotated[str | None, typer.Option(help="Address of Triton's metrics, for the times of lam_core.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")] = Path("serving"),
) -> None:
    setting = Setting.here(None)
    if note := setting.warning():
        print(note)
    numbers = [float(x) for x in clients.split(",") if x]
    levels = [("closed", x) for x in numbers] + [("open", float(x)) for x in rates.split(",") if x]
    try:
        server = connect(url, timeout=timeout, connections=int(max([*numbers, 256 if rates else 1])), metrics=metrics)
        with load_engine(bundle) as engine:
            work = Mix.of(engine, mix, texts)
        closed(server, work, clients=4, seconds=WARM_UP)
        loads = []
        print("\t".join(HEAD))
        for kind, level in levels:
            if kind == "closed":
                loads.append(closed(server, work, clients=int(level), seconds=seconds))
            else:
                loads.append(opened(server, work, rate=level, seconds=seconds))
            print("\t".join(row(loads[-1])), flush=True)
    except LamError as error:
        print(f"error: {error}")
        raise typer.Exit(1) from None
    benchmark = ServingBenchmark(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        protocol=server.protocol,
        machine=machine(),
        load_before=setting.load,
        tools=tools(),
        bundle=bundle.resolve().name,
        texts_per_request=texts,
        longest=max(work.tokens),
        tolerance=TOLERANCE,
        loads=tuple(loads),
        accounts=server.accounts(),
    )
    write_record(output, "serving", shown(benchmark))
    raise typer.Exit(2 if any(load.wrong for load in loads) else 0)


if __name__ == "__main__":
    typer.run(main)
