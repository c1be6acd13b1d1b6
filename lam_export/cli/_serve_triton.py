"""``lam-export serve --triton``: a bundle in NVIDIA Triton Inference Server."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from lam_engines.errors import InputError

from ._console import err, note, out, say
from ._progress import shown_progress
from ._serving import say_limits, serving_options
from ._streams import StandardOutputError

OPTIONS = ("http_port", "grpc_port", "metrics_port", "tritonserver", "log", "start_timeout")
"""Options of ``serve`` that only Triton has, besides those of its repository."""

_PANEL = "With --triton"


def _port(what: str, default: str | bool = True) -> Any:
    help = f"Port of Triton's {what}; 0 for any free port."
    return typer.Option(min=0, max=65535, help=help, show_default=default, rich_help_panel=_PANEL)


HttpPort = Annotated[int | None, _port("HTTP", "8000; shut in servers older than 25.07")]
GrpcPort = Annotated[int, _port("gRPC")]
MetricsPort = Annotated[int, _port("metrics")]
Program = Annotated[
    str | None,
    typer.Option(
        help="Triton's server, or a command that starts it in a container. Arguments are appended to it.",
        rich_help_panel=_PANEL,
        show_default="the one on PATH, else PyPI's, installed once",
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(help="File for Triton's messages.", show_default="in the user's cache folder", rich_help_panel=_PANEL),
]
StartTimeout = Annotated[
    float,
    typer.Option(
        min=1,
        help="Seconds that Triton may take to start. By then the first text must be embedded.",
        rich_help_panel=_PANEL,
    ),
]


def serve(context: typer.Context, bundles: Sequence[Path], *, host: str, stop_timeout: float) -> None:
    """Serve one bundle until Ctrl-C or SIGTERM. Triton is restarted when any of its processes dies."""
    from lam_engines.bundles.bundle import Bundle
    from lam_engines.contract import ENSEMBLE
    from lam_engines.serving.triton import TritonServer, write_repository
    from lam_engines.serving.triton.find_server import find_installation
    from lam_engines.serving.triton.flavours import flavour_of, resolve
    from lam_engines.serving.triton.leftovers import own_prefix, sweep
    from lam_engines.serving.triton.process import check_places
    from lam_engines.serving.triton.server import ServerStartError
    from lam_engines.serving.triton.wheel import logs_folder

    if len(bundles) > 1:
        raise InputError(f"expected one bundle with --triton, found {len(bundles)}; run one server for each")
    check_places(tempfile.gettempdir())  # before a server is installed or started
    opened = Bundle(bundles[0])
    chosen = resolve(opened, serving_options(context))
    given = context.params
    log = given["log"] or logs_folder() / f"{opened.path.resolve().name}.log"
    with ExitStack() as stack:
        with shown_progress() as progress:
            progress.begin("looking for Triton Inference Server", None)
            installation = find_installation(given["tritonserver"], on_install=lambda step: progress.begin(step, None))
            installation.require_backend(flavour_of(chosen).backend)
            progress.begin("writing the repository", None)
            sweep()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=own_prefix())))
            repository = write_repository(opened, folder / "models", chosen)
            progress.begin("starting the server", None)
            server = TritonServer(
                repository,
                installation=installation,
                host=host,
                http=None if given["http_port"] is None else True,
                http_port=8000 if given["http_port"] is None else given["http_port"],
                grpc_port=given["grpc_port"],
                metrics_port=given["metrics_port"],
                log=log,
                start_timeout=given["start_timeout"],
                stop_timeout=stop_timeout,
                on_event=lambda event: say(err, event),
            )
            try:
                stack.enter_context(server)
            except ServerStartError as error:
                for line in error.tail:
                    say(err, line)
                raise
        with suppress(StandardOutputError):  # it serves all the same
            say(out, f"Serving {bundles[0]} as {ENSEMBLE}; Ctrl-C ends it", style="green")
            if server.http_url:
                say(out, f"  HTTP     http://{server.http_url}/v2/models/{ENSEMBLE}/infer")
            say(out, f"  gRPC     {server.grpc_url}")
            say(out, f"  metrics  http://{server.metrics_url}/metrics")
            say(out, f"  log      {log}")
            say_limits(chosen)
        if not server.http_url:
            note("the HTTP port is shut: in Triton before 25.07 it crashes on large requests; open it with --http-port")
        with suppress(KeyboardInterrupt, SystemExit):  # Ctrl-C and SIGTERM are how it ends
            server.wait()
