"""``lam-export serve``: run a bundle in NVIDIA Triton Inference Server on this machine. It never imports torch."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from lam_export.requirements import require

from ._console import err, examples, out, say
from ._options import BundleArgument
from ._progress import shown_progress
from ._serving import say_limits, serving_options, with_serving_options

EXAMPLES = examples(
    "lam-export serve my-model",
    "lam-export serve my-model --openai",
    "lam-export serve my-model --max-tokens 512 --truncation truncate --cache",
    "lam-export serve my-model --flavour tensorrt --tritonserver /opt/tritonserver/bin/tritonserver",
)


def _port(what: str) -> Any:
    return typer.Option(min=0, max=65535, help=f"Port of {what}; 0 for any free port.")


@with_serving_options
def run(
    context: typer.Context,
    bundle: BundleArgument,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all addresses.")] = "127.0.0.1",
    http_port: Annotated[int, _port("HTTP")] = 8000,
    grpc_port: Annotated[int, _port("gRPC")] = 8001,
    metrics_port: Annotated[int, _port("the metrics")] = 8002,
    openai: Annotated[bool, typer.Option("--openai", help="Also serve OpenAI's API, /v1/embeddings.")] = False,
    openai_port: Annotated[int, _port("OpenAI's API")] = 8080,
    tritonserver: Annotated[
        str | None,
        typer.Option(
            help="Triton's server, or a command that starts it in a container. Arguments are appended to it.",
            show_default="the one on PATH, else PyPI's, installed once",
        ),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="File for the server's messages.", show_default="in the user's cache folder")
    ] = None,
    start_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds to start in. By then the first text must be embedded.")
    ] = 120.0,
    stop_timeout: Annotated[
        float, typer.Option(min=6, help="Seconds that running requests get to finish when the server stops.")
    ] = 15.0,
) -> None:
    """Serve a bundle over HTTP and gRPC until Ctrl-C. Triton is restarted when any of its processes dies."""
    from lam_engines.bundles.bundle import Bundle
    from lam_engines.contract import ENSEMBLE
    from lam_engines.serving.triton import TritonServer, write_repository
    from lam_engines.serving.triton.find_server import find_installation
    from lam_engines.serving.triton.flavours import flavour_of, resolve
    from lam_engines.serving.triton.server import ServerStartError
    from lam_engines.serving.triton.wheel import logs_folder

    if openai:
        require("orjson", "starlette", "uvicorn", extra="serve")
        from lam_engines.serving.openai import OpenAiFront, Settings, bind

    opened = Bundle(bundle)
    chosen = resolve(opened, serving_options(context))
    log = log or logs_folder() / f"{opened.path.resolve().name}.log"
    with ExitStack() as stack:
        with shown_progress() as progress:
            progress.begin("looking for Triton Inference Server", None)
            installation = find_installation(tritonserver, on_install=lambda step: progress.begin(step, None))
            installation.require_backend(flavour_of(chosen).backend)
            progress.begin("writing the repository", None)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lam-export-")))
            repository = write_repository(opened, folder / "models", chosen)
            if openai:
                bound = stack.enter_context(bind(host, openai_port))  # a taken port is found before the server starts
            progress.begin("starting the server", None)
            server = TritonServer(
                repository,
                installation=installation,
                host=host,
                http_port=http_port,
                grpc_port=grpc_port,
                metrics_port=metrics_port,
                log=log,
                start_timeout=start_timeout,
                stop_timeout=stop_timeout,
                on_event=lambda event: say(err, event),
            )
            try:
                stack.enter_context(server)
            except ServerStartError as error:
                for line in error.tail:
                    say(err, line)
                raise
        say(out, f"Serving {bundle} as {ENSEMBLE}; Ctrl-C ends it", style="green")
        say(out, f"  HTTP     http://{server.http_url}/v2/models/{ENSEMBLE}/infer")
        say(out, f"  gRPC     {server.grpc_url}")
        say(out, f"  metrics  http://{server.metrics_url}/metrics")
        if openai:
            name = opened.path.resolve().name
            front = stack.enter_context(OpenAiFront(Settings(triton=server.grpc_url, model=name), bound))
            say(out, f"  OpenAI   {front.url} (model {name})")
        say(out, f"  log      {log}")
        say_limits(chosen)
        server.wait()
