"""mteb over the engine, and txtai, on the demo model."""

from collections.abc import Callable

import numpy as np
import pytest
from other_tools import Demo

pytestmark = [pytest.mark.slow, pytest.mark.demo]


@pytest.mark.parametrize("how", ["txtai", "txtai int8", "txtai bundle", "mteb bundle"])
def test_embeddings(how: str, demo: Demo, in_python: Callable[[str, str], np.ndarray]) -> None:
    demo.check(how, in_python("mteb", how))


def test_mteb_scores_an_engine(in_python: Callable[[str, str], np.ndarray]) -> None:
    """A task made of the demo's own cosines, without a network: the engine must have the best score there is."""
    assert in_python("mteb", "mteb bundle score") == pytest.approx([1.0], abs=1e-6)
