"""What every runtime declares of itself, and what loading it does to a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from promises import Opener, Way

from lam_engines.bundles.bundle import Bundle
from lam_engines.runtimes import registry
from lam_engines.runtimes.registry import Runtime


@pytest.fixture
def declared(way: Way, opener: Opener) -> Runtime:
    """What the registry has of the way; skips where it cannot run."""
    return registry.runtime(way.name)


def test_what_it_runs_is_in_the_bundle(declared: Runtime, way: Way, opener: Opener) -> None:
    bundle = Bundle(opener.bundle)
    assert way.precision in declared.precisions_of(bundle)
    assert way.precision in declared.runs(bundle)
    assert declared.file_of(bundle, way.precision) in bundle.manifest.files
    with opener() as engine:
        assert engine.file == declared.file_of(bundle, way.precision)


def test_it_says_what_runs_here(declared: Runtime) -> None:
    device = declared.devices[0]
    assert declared.version() in declared.here(device)
    assert declared.here(device).startswith(declared.name)
    assert declared.title


def test_a_fingerprint_is_of_the_file_and_the_version(declared: Runtime, way: Way, opener: Opener) -> None:
    bundle, device = Bundle(opener.bundle), declared.devices[0]
    found = declared.fingerprint(bundle, way.precision, device)
    assert found == declared.fingerprint(bundle, way.precision, device)
    assert bundle.manifest.files[declared.file_of(bundle, way.precision)].sha256 in found
    assert declared.version() in found


@pytest.mark.heavy
def test_loading_it_loads_nothing_of_the_others_and_tells_nobody(
    declared: Runtime, way: Way, opener: Opener, tmp_path: Path
) -> None:
    code = (
        "import sys; from lam_engines import load_engine\n"
        "with load_engine(sys.argv[1], sys.argv[2], precision=sys.argv[3]) as engine:\n"
        "    assert engine.embed(['a', 'the cat']).shape == (2, 32)\n"
        "print([m for m in sys.argv[4:] if m in sys.modules])"
    )
    others = [name for name in registry.names() if name != way.name]
    never = ["torch", "onnx", "onnxscript", "lam_export", "lam_plugins", "openvino_telemetry"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(opener.bundle), way.name, way.precision, *others, *never]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (result.stdout, result.stderr) == ("[]\n", "")
    assert not list(tmp_path.iterdir()), "an identifier of the user would be kept there"
