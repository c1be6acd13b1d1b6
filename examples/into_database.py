"""The output folder of ``lam-export embed`` into a vector database: LanceDB, or PostgreSQL with pgvector.

    pip install '.[s3]' lancedb 'psycopg[binary]' pgvector
    python examples/into_database.py vectors --lancedb reviews.lance
    python examples/into_database.py s3://out/vectors --postgres postgresql://localhost/reviews

The table has the columns of the Parquet files. Rows are read and stored in batches, so that any number goes through.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from lam_engines.storage import is_remote, place_of

BATCH_ROWS = 10_000
KINDS = {"int32": "integer", "int64": "bigint", "float": "real", "double": "double precision", "bool": "boolean"}
"""Arrow's types and PostgreSQL's. All others are stored as text."""


def read(folder: Path) -> Any:
    """The Parquet files of a folder, here or on object storage. Names that begin with ``_`` are skipped."""
    remote: Any = folder
    return ds.dataset(remote.path, filesystem=remote.fs) if is_remote(folder) else ds.dataset(folder)


def into_lancedb(data: Any, place: str, table: str) -> int:
    """Fill a table, which is replaced as a whole. LanceDB takes Arrow's batches as they are."""
    import lancedb

    database = lancedb.connect(place)
    rows = data.to_batches(batch_size=BATCH_ROWS)
    return database.create_table(table, rows, schema=data.schema, mode="overwrite").count_rows()


def into_postgres(data: Any, address: str, table: str) -> int:
    """Fill a new table with binary COPY and index it, all or nothing."""
    import psycopg
    from pgvector.psycopg import register_vector
    from psycopg.sql import SQL, Identifier

    size = data.schema.field("embedding").type.list_size
    names = [name for name in data.schema.names if name != "embedding"]
    kinds = [KINDS.get(str(data.schema.field(name).type), "text") for name in names] + [f"vector({size})"]
    columns = [SQL("{} {}").format(Identifier(n), SQL(k)) for n, k in zip([*names, "embedding"], kinds, strict=True)]
    with psycopg.connect(address) as database:
        database.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(database)
        database.execute(SQL("CREATE TABLE {} ({})").format(Identifier(table), SQL(", ").join(columns)))
        rows = 0
        with database.cursor().copy(SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(Identifier(table))) as copy:
            copy.set_types([kind.partition("(")[0] for kind in kinds])
            for batch in data.to_batches(batch_size=BATCH_ROWS):
                for row in rows_of(batch, names, kinds):
                    copy.write_row(row)
                rows += len(batch)
        # Embeddings have unit length, so the inner product is the cosine.
        database.execute(SQL("CREATE INDEX ON {} USING hnsw (embedding vector_ip_ops)").format(Identifier(table)))
    return rows


def rows_of(batch: Any, names: Sequence[str], kinds: Sequence[str]) -> Any:
    """The rows of a batch for COPY: values as PostgreSQL takes them, and the embedding as an array of NumPy."""
    embeddings = batch.column("embedding")
    vectors = embeddings.flatten().to_numpy().reshape(len(batch), embeddings.type.list_size)
    values = [
        (batch.column(name).cast(pa.string()) if kind == "text" else batch.column(name)).to_pylist()
        for name, kind in zip(names, kinds, strict=False)
    ]
    return zip(*values, vectors, strict=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=place_of, help="folder of Parquet files, or its URI")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--lancedb", help="folder or URI of the database")
    where.add_argument("--postgres", help="address: postgresql://USER@HOST/DATABASE")
    parser.add_argument("--table", default="texts")
    args = parser.parse_args()
    data = read(args.vectors)
    fill, place = (into_lancedb, args.lancedb) if args.lancedb else (into_postgres, args.postgres)
    print(f"stored {fill(data, place, args.table):,} rows")
