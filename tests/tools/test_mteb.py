"""mteb over the engine, and txtai, on the demo model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from other_tools import Demo

from lam_engines import load_engine
from lam_export.evidence.corpus import read_corpus
from lam_export.evidence.tasks import RetrievalTask

pytestmark = [pytest.mark.slow, pytest.mark.demo]


@pytest.mark.parametrize("how", ["txtai", "txtai int8", "txtai bundle", "mteb bundle"])
def test_embeddings(how: str, demo: Demo, in_python: Callable[[str, str], np.ndarray]) -> None:
    demo.check(how, in_python("mteb", how))


def test_mteb_scores_an_engine(demo: Demo, in_python: Callable[[str, str], np.ndarray], tmp_path: Path) -> None:
    """Without a network: the best score on pairs of the demo's own cosines, and on a folder the score of ``report``."""
    best, found = in_python("mteb", "mteb bundle scores")
    assert best == pytest.approx(1.0, abs=1e-6)
    corpus = read_corpus(tasks=tmp_path / "halves", builtin=False)
    (task,) = corpus.tasks
    assert isinstance(task, RetrievalTask)
    with load_engine(demo.bundle, "onnxruntime") as engine:
        ours = task.ndcg(corpus.index, engine.embed([text.text for text in corpus.texts]))
    assert len(set(ours.round(3))) > 3, "scores that tell something"
    assert found == pytest.approx(ours.mean(), abs=1e-5), "mteb rounds to five digits"
