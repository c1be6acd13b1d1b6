"""The demo model in the folder of ``lam-export huggingface``, and the embeddings that every tool must give."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import needs
import numpy as np
import pytest
import shared
from other_tools import ROOT, Demo, environment, run

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.tokenizer import tokenizer_of
from lam_export.evidence.corpus import builtin_texts
from lam_export.pipelines.export_huggingface import export_huggingface

ODD = ("", "   ", "\t\n", ".", "[CLS] literal [MASK] tokens [PAD]", "x" * 101, "zero\u200bwidth and soft\u00adhyphen")


@pytest.fixture(scope="session")
def demo(demo_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo model for other people's tools. The folder is written by a Python that has no PyTorch."""
    python = environment("light") / "bin" / "python"
    here = os.pathsep.join(str(ROOT / part) for part in ("", "engines", "plugins"))

    def make(folder: Path) -> None:
        code = "import importlib.util as u; assert not u.find_spec('torch'); from lam_export.cli import main; main()"
        command = [python, "-c", code, "huggingface", demo_bundle, "-o", folder / "demo", "--int8"]
        run(command, PYTHONPATH=here)
        if needs.missing("openvino") is None:
            written = export_huggingface(demo_bundle, folder / "openvino", openvino=True).path
            shutil.move(written / "openvino", folder / "demo")
        chosen = [text.text for text in builtin_texts()]
        long = sorted(chosen, key=len)[-1]
        texts = [*ODD, *chosen[:: len(chosen) // 41][:41], long[: len(long) // 13], long]
        (folder / "texts.json").write_text(json.dumps(texts))

    folder = shared.made_once(tmp_path_factory, "demo-folder", make)
    texts = json.loads((folder / "texts.json").read_text())
    tokens = [len(ids) for ids in tokenizer_of(Bundle(demo_bundle)).encode(texts)]
    assert (len(texts), min(tokens)) == (50, 2)
    assert any(250 <= count <= 400 for count in tokens)
    assert max(tokens) >= 3000
    right = {}
    for precision in ("fp32", "int8"):
        with load_engine(demo_bundle, "onnxruntime", precision=precision) as engine:
            right[precision] = engine.embed(texts)
    return Demo(demo_bundle, folder / "demo", folder / "texts.json", right)


@pytest.fixture
def in_python(demo: Demo, tmp_path: Path) -> Callable[[str, str], np.ndarray]:
    """Run a driver beside this file in an environment of Python; the vectors it gives."""

    here = os.pathsep.join(str(ROOT / part) for part in ("", "engines"))

    def embed(name: str, how: str) -> np.ndarray:
        driver = Path(__file__).with_name(f"in_{name.replace('-', '_')}.py")
        folder = demo.bundle if "bundle" in how else demo.folder
        output = tmp_path / "vectors.npy"
        run([environment(name) / "bin" / "python", driver, how, folder, demo.texts, output], PYTHONPATH=here)
        if not output.exists():
            pytest.skip("the OpenVINO provider offers devices of Intel's number alone, and has no option for others")
        return np.load(output)

    return embed
