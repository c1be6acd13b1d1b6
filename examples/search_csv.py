"""Semantic search over a CSV: embeddings from a bundle, kept and searched by the vector database Qdrant.

    pip install '.[cpu,examples]'
    python examples/search_csv.py my-model reviews.csv "arrived too late" --column text

Qdrant runs inside this program and keeps the vectors in a folder, so there is no server to start. With the address of a
server, ``QdrantClient(url=...)``, the same code searches millions of rows. The folder is filled once. A second search
reads it.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

from qdrant_client import QdrantClient, models

from lam_engines import load_engine
from lam_engines.embedding.engine import EmbeddingEngine

COLLECTION = "rows"


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV with a line of names."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def fill(database: QdrantClient, engine: EmbeddingEngine, path: Path, column: str) -> None:
    """Embed one column of every row, and store the rows with their vectors."""
    size = models.VectorParams(size=engine.model.hidden_size, distance=models.Distance.COSINE)
    database.create_collection(COLLECTION, vectors_config=size)
    stored = 0
    source = rows(path)
    # One window of texts after the other is embedded, so that a file of any size goes through.
    for texts, vectors in engine.embed_many(row[column] for row in rows(path)):
        payload = [next(source) for _ in texts]
        ids = range(stored, stored + len(texts))
        database.upload_collection(COLLECTION, vectors=vectors, payload=payload, ids=ids)
        stored += len(texts)
    print(f"stored {stored} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("csv", type=Path)
    parser.add_argument("query")
    parser.add_argument("--column", default="text", help="of the texts")
    parser.add_argument("--database", type=Path, default=Path("rows.qdrant"), help="folder of the vectors")
    parser.add_argument("--limit", type=int, default=5)
    args = parser.parse_args()

    database = QdrantClient(path=str(args.database))
    with load_engine(args.bundle) as engine:
        if not database.collection_exists(COLLECTION):
            fill(database, engine, args.csv, args.column)
        query = engine.encode(args.query)
    for found in database.query_points(COLLECTION, query=query, limit=args.limit).points:
        print(f"{found.score:.3f}  {(found.payload or {})[args.column]}")
    database.close()


if __name__ == "__main__":
    main()
