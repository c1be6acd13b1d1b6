"""Fixtures of the report's tests."""

import shutil
from pathlib import Path

import pytest

from lam_engines.bundles.manifest import Manifest


@pytest.fixture(scope="session")
def naive_int8_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with ``model.int8.onnx``, quantised as ONNX Runtime does it unasked: one scale for a batch."""
    from onnxruntime.quantization import quantize_dynamic

    from lam_engines.bundles.writing import extend_bundle
    from lam_engines.contract import INLINED_MODEL, INT8_MODEL, MODEL

    folder = tmp_path_factory.mktemp("int8")
    products = ["MatMul"]
    quantize_dynamic(tiny_bundle / INLINED_MODEL, folder / INT8_MODEL, op_types_to_quantize=products, per_channel=True)
    bundle = shutil.copytree(tiny_bundle, folder / "bundle")
    content = {INT8_MODEL: (folder / INT8_MODEL).read_bytes()}

    def listed(manifest: Manifest) -> Manifest:
        graph = manifest.graphs[MODEL].model_copy(update={"precision": "int8", "inlined": True})
        return manifest.model_copy(update={"graphs": {**manifest.graphs, INT8_MODEL: graph}})

    return extend_bundle(bundle, content, listed).path
