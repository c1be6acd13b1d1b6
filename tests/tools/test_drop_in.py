"""The classes of examples/drop_in, in the frameworks that they are for."""

from pathlib import Path

import numpy as np
import pytest
from other_tools import ROOT, Demo, environment, run

pytestmark = [pytest.mark.slow, pytest.mark.demo]


@pytest.mark.parametrize("how", ["langchain", "llama-index", "haystack", "lancedb"])
def test_embeddings(how: str, demo: Demo, tmp_path: Path) -> None:
    output = tmp_path / "vectors.npy"
    python, driver = environment("light") / "bin" / "python", Path(__file__).with_name("in_drop_in.py")
    path = f"{ROOT / 'engines'}:{ROOT / 'examples' / 'drop_in'}"
    run([python, driver, how, demo.bundle, demo.texts, output], PYTHONPATH=path)
    demo.check(how, np.load(output))
