"""transformers.js and onnxruntime-node, on the demo model."""

import json
from pathlib import Path

import numpy as np
import pytest
from other_tools import Demo, environment, run

pytestmark = [pytest.mark.slow, pytest.mark.demo, pytest.mark.needs("npm")]

HOW = ("transformers.js", "transformers.js int8", "onnxruntime-node", "onnxruntime-node bundle")


@pytest.mark.parametrize("how", HOW)
def test_embeddings(how: str, demo: Demo, tmp_path: Path) -> None:
    folder = demo.bundle if "bundle" in how else demo.folder
    output = tmp_path / "vectors.json"
    driver = Path(__file__).with_name("in_node.mjs")
    run(["node", driver, environment("node"), how, folder, demo.texts, output])
    demo.check(how, np.array(json.loads(output.read_text())))
