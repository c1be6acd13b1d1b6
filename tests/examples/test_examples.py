"""The example programs, as a reader starts them, on the tiny model."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXTS = [
    "the red dog runs in the water",
    "a man reads by the house",
    "the cat sleeps, it is old",
    "the red dog runs in water",
]


def run(program: str, *arguments: object) -> str:
    """What it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, EXAMPLES / program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A CSV with a comma in a text, and another column."""
    path = tmp_path / "texts.csv"
    path.write_text("id,text\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(TEXTS)), encoding="utf-8")
    return path


@pytest.mark.heavy
@pytest.mark.needs("qdrant_client")
def test_search_over_a_csv(tiny_bundle: Path, texts: Path, tmp_path: Path) -> None:
    database = tmp_path / "vectors"
    for query, text in ((TEXTS[2], TEXTS[2]), (TEXTS[1].upper(), TEXTS[1])):  # the second search fills nothing
        printed = run("search_csv.py", tiny_bundle, texts, query, "--database", database, "--limit", 2).splitlines()
        assert printed[0] == "stored 4 rows" or query != TEXTS[2]
        *_, first, second = printed
        assert first == f"1.000  {text}"
        assert float(second.split()[0]) < 1
    assert len(printed) == 2


def test_near_duplicates(tiny_bundle: Path, texts: Path) -> None:
    printed = run("near_duplicates.py", tiny_bundle, texts, "--cosine", 0.2).splitlines()
    cosines = [float(line) for line in printed[::3]]
    assert cosines == sorted(cosines, reverse=True)
    assert cosines[0] >= 0.2
    nearest = {int(line.split(":")[0]) for line in printed[1:3]}
    assert nearest == {1, 4}
    assert printed[1].endswith(TEXTS[0])


def test_near_duplicates_compares_every_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import near_duplicates

    monkeypatch.setattr(near_duplicates, "BLOCK", 3)
    vectors = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = near_duplicates.near_duplicates(vectors, -0.5)
    cosines = vectors @ vectors.T
    expected = [(i, j) for i in range(8) for j in range(i + 1, 8) if cosines[i, j] >= -0.5]
    assert sorted((i, j) for _, i, j in found) == expected
    assert [c for c, _, _ in found] == sorted((c for c, _, _ in found), reverse=True)
