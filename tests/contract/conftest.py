"""Everything that runs a bundle, each in turn: the runtimes of the registry in every precision, and the C++ library.

What cannot run here is skipped, with the reason that the runtime gives. A runtime that is added is tested by itself.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import needs
import pytest
import shared
from commands import lam_export
from promises import EVERY_WAY, REGISTERED, Engine, Opener, Way

from lam_engines import LamError
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.registry import runtime

PLAN_TOKENS = 600
"""The longest text of the plans that are built here."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of what only Python has do not go through the C++ library."""
    if "way" in metafunc.fixturenames:
        python = {"python_engine", "declared", "registered"} & set(metafunc.fixturenames)
        ways = [
            pytest.param(way, id=str(way), marks=[] if way.kind == "registry" else pytest.mark.heavy)
            for way in (REGISTERED if python else EVERY_WAY)
        ]
        metafunc.parametrize("way", ways, scope="module")


@pytest.fixture(scope="session")
def contract_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint_folder: Path) -> Path:
    """A bundle of the tiny LAM with every graph that a runtime may want, and plans for this GPU if it has one."""
    from lam_export.model.checkpoint import load_checkpoint
    from lam_export.pipelines.export_onnx import export_onnx

    def make(folder: Path) -> None:
        checkpoint = load_checkpoint(tiny_checkpoint_folder)
        export_onnx(checkpoint, folder / "bundle", precisions=("fp16", "int8"), inline=True)
        for name, option in {"tensorrt": (), "tensorrt-rtx": ("--rtx",)}.items():
            for precision in runtime(name).precisions if needs.missing(name.replace("-", "_"), "cuda") is None else ():
                options = (f"--{precision}", "--max-tokens", PLAN_TOKENS, "--optimization-level", 1)
                built = lam_export("trt", folder / "bundle", *option, *options)
                assert built.returncode == 0, built.stderr

    return shared.made_once(tmp_path_factory, "contract", make) / "bundle"


@pytest.fixture(scope="module")
def opener(way: Way, contract_bundle: Path, request: pytest.FixtureRequest) -> Iterator[Opener]:
    with pytest.MonkeyPatch.context() as patch:
        build = None
        if way.kind != "registry":
            build = request.getfixturevalue("cpp_build")
        if way.kind == "operators":
            if reason := needs.missing(way.name):
                pytest.skip(reason)
            patch.setenv("LAM_OPERATORS", str(build / "liblam_operators.so"))
        else:
            patch.setenv("LAM_OPERATORS", "")
        if way.kind != "c++":
            try:
                runtime(way.name).here(runtime(way.name).devices[0])
                runtime(way.name).file_of(Bundle(contract_bundle), way.precision)
            except LamError as error:
                pytest.skip(str(error))
        yield Opener(way, contract_bundle, build)


@pytest.fixture(scope="module")
def engine(opener: Opener) -> Iterator[Engine]:
    with opener() as engine:
        yield engine


@pytest.fixture(scope="module")
def python_engine(engine: Engine) -> EmbeddingEngine:
    """For promises of the Python interface alone."""
    assert isinstance(engine, EmbeddingEngine)
    return engine


@pytest.fixture(scope="module")
def registered(way: Way, opener: Opener) -> Opener:
    """For promises of what the registry loads."""
    return opener


@pytest.fixture
def copied(contract_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that may be changed."""
    return Path(shutil.copytree(contract_bundle, tmp_path / "a bundle"))
