"""OpenAI's API alone, for a Triton that runs elsewhere.

Run it with ``python -m lam_engines.serving.openai --triton HOST:8001``.
"""

from typing import Annotated

import typer

from ...errors import LamError
from .app import Settings
from .server import bind, server


def main(
    triton: Annotated[str, typer.Option(help="HOST:PORT of Triton's gRPC endpoint.")] = Settings.triton,
    ensemble: Annotated[str, typer.Option(help="Triton's name of the model.")] = Settings.ensemble,
    model: Annotated[str, typer.Option(help="The name that clients ask for.")] = Settings.model,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8080,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take.")] = Settings.timeout,
) -> None:
    """Serve OpenAI's embeddings API until SIGINT or SIGTERM."""
    try:
        bound = bind(host, port)
    except LamError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    bound.listen()  # early clients wait until the front is up
    typer.echo(f"http://{host}:{bound.getsockname()[1]}/v1", err=True)
    server(Settings(triton=triton, ensemble=ensemble, model=model, timeout=timeout)).run([bound])


if __name__ == "__main__":
    typer.run(main)
