"""Other people's clients at the own server, unchanged. More of them are tested in tests/engines/serving/http."""

import json
from pathlib import Path

import numpy as np
import pytest
from other_tools import environment, run
from served import CLOSE

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.http import HttpOptions, HttpServer

pytestmark = pytest.mark.slow
TEXTS = ["the cat sleeps", "a man", "東 🧿 ж", "a line\nand another"]


@pytest.mark.parametrize("how", ["llama-index", "triton"])
def test_embeddings(how: str, tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path) -> None:
    texts, output = tmp_path / "texts.json", tmp_path / "vectors.npy"
    texts.write_text(json.dumps(TEXTS))
    python, driver = environment("light") / "bin" / "python", Path(__file__).with_name("in_clients.py")
    with HttpServer([tiny_bundle], HttpOptions(port=0, api_keys=("key",))) as server:
        run([python, driver, how, server.url, texts, output])
    np.testing.assert_allclose(np.load(output), tiny_engine.embed(TEXTS), **CLOSE)
