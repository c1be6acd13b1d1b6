"""``lam-export serve``: run bundles behind HTTP on this machine. It never imports torch."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from lam_export.requirements import require

from . import _serve_triton as triton
from ._console import err, examples, out, say
from ._progress import shown_progress
from ._serving import OF_REPOSITORIES, given, refuse_given, with_serving_options
from ._streams import StandardOutputError

EXAMPLES = examples(
    "lam-export serve my-model",
    "LAM_API_KEY=$(openssl rand -hex 32) lam-export serve my-model --host 0.0.0.0",
    "lam-export serve my-model my-other-model --engine openvino --truncation truncate",
    "lam-export serve my-model --tls-cert cert.pem --tls-key key.pem --api-key-file keys --access-log -",
    "lam-export serve my-model --triton --precision bf16 --cache",
)
_OWN = (
    *("port", "api_key", "api_key_file", "admin_key", "insecure", "tls_cert", "tls_key", "allowed_host"),
    *("cors_origin", "max_request_tokens", "max_body", "max_connections", "drain_delay", "access_log", "tracing"),
)
"""Options that Triton does not have."""
_KEY = "Key that clients must send (Authorization: Bearer KEY)."


def _seconds(what: str, least: float = 0) -> Any:
    return typer.Option(min=least, help=f"Seconds {what}.")


@with_serving_options
def run(
    context: typer.Context,
    bundles: Annotated[
        list[Path], typer.Argument(help="The bundles' folders. A model has its folder's name.", show_default=False)
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all addresses.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free port.")] = 8080,
    api_key: Annotated[
        list[str] | None, typer.Option(envvar="LAM_API_KEY", help=f"{_KEY} May be repeated.", show_default=False)
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File with keys of clients, one a line.", show_default=False)
    ] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(envvar="LAM_ADMIN_KEY", help="Key of POST /admin/reload (x-admin-key: KEY).", show_default=False),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen on other addresses than this machine's own without a key.")
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate chain, as a PEM file.", show_default="plain HTTP")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key, as a PEM file.")] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name that is served. May be repeated.", show_default="any; this machine's own on 127.0.0.1"
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="Web page that may ask from browsers, such as https://example.org. May be repeated."),
    ] = None,
    max_request_tokens: Annotated[int, typer.Option(min=1, help="Most tokens in a request.")] = 1 << 18,
    max_body: Annotated[int, typer.Option(min=1, help="Most bytes in a request.")] = 32 << 20,
    max_connections: Annotated[int, typer.Option(min=1, help="Most open connections.")] = 1000,
    drain_delay: Annotated[float, _seconds("between SIGTERM and the end of listening, in which /readyz says no")] = 3.0,
    stop_timeout: Annotated[float, _seconds("that running requests get to finish when the server stops", 1)] = 15.0,
    access_log: Annotated[
        str | None,
        typer.Option(help="File for a JSON line about every request, without texts; - for standard output."),
    ] = None,
    tracing: Annotated[
        bool, typer.Option("--tracing", help="Send OpenTelemetry traces, as the OTEL_* variables say.")
    ] = False,
    use_triton: Annotated[
        bool, typer.Option("--triton", help="Run NVIDIA Triton Inference Server instead of the own server.")
    ] = False,
    http_port: triton.HttpPort = None,
    grpc_port: triton.GrpcPort = 8001,
    metrics_port: triton.MetricsPort = 8002,
    tritonserver: triton.Program = None,
    log: triton.Log = None,
    start_timeout: triton.StartTimeout = 120.0,
) -> None:
    """Serve bundles over HTTP: OpenAI's /v1/embeddings, text-embeddings-inference's /embed, KServe's /v2.

    It serves until SIGTERM or Ctrl-C. SIGHUP loads the bundles again without a gap. With --triton, one bundle is served
    by NVIDIA's server.
    """
    if use_triton:
        refuse_given(context, _OWN, "with --triton")
        triton.serve(context, bundles, host=host, stop_timeout=max(6.0, stop_timeout))
        return
    refuse_given(context, (*OF_REPOSITORIES, *triton.OPTIONS), "without --triton")
    require("httptools", "msgspec", "orjson", "prometheus_client", "starlette", "uvicorn", extra="serve")
    from lam_engines.serving.http import HttpOptions, HttpServer, read_keys
    from lam_engines.serving.limits import DEFAULT_MAX_TOKENS

    shared = given(context, "truncation", "batch_tokens", "queue_timeout")
    source = context.get_parameter_source("instances")
    if source is not None and source.name == "COMMANDLINE":
        shared |= given(context, "instances")
    options = HttpOptions(
        host=host,
        port=port,
        api_keys=(*(api_key or ()), *(read_keys(api_key_file) if api_key_file else ())),
        admin_key=admin_key,
        insecure=insecure,
        tls_cert=tls_cert,
        tls_key=tls_key,
        allowed_hosts=tuple(allowed_host or ()),
        cors_origins=tuple(cors_origin or ()),
        max_tokens=context.params["max_tokens"] or DEFAULT_MAX_TOKENS,
        max_request_tokens=max_request_tokens,
        max_body=max_body,
        max_connections=max_connections,
        drain_delay=drain_delay,
        stop_timeout=stop_timeout,
        access_log=access_log,
        tracing=tracing,
        **shared,
    )
    with shown_progress() as progress:
        progress.begin("loading the engine", None)
        server = HttpServer(bundles, options, **given(context, "engine", "precision", "device", "threads"))

    def ready() -> None:
        names = ", ".join(model.name for model in server.models)
        with suppress(StandardOutputError):  # it serves all the same
            say(out, f"Serving {names} at {server.url}; Ctrl-C ends it", style="green")
            for labels in (model.labels for model in server.models):
                say(out, f"  {labels.model} runs in {labels.engine}, {labels.precision}")
            say(out, f"  OpenAI   {server.url}/v1")
            say(out, f"  TEI      {server.url}/embed")
            say(out, f"  KServe   {server.url}/v2")
            say(out, f"  metrics  {server.url}/metrics")

    server.run(ready, lambda event: say(err, event))
