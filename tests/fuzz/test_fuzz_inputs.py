"""Files of texts that were damaged at random: rows or one clear error, never a traceback, in little memory.

python tests/fuzz/test_fuzz_inputs.py 600    # so many seconds of it, with another seed each time
"""

import bz2
import gzip
import io
import json
import lzma
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lam_engines.errors import LamError
from lam_engines.files import Reading, open_writer, read_rows

TEXTS = ["", "a b", 'é,"x"\r\n', "😀\t;|", "x" * 300, "\ufeff", "1", "null", "a\0b", "word " * 80]
PIECES = [
    *(b"", b"\n", b"\r", b'"', b'""', b",", b";", b"\t", b"{", b"}", b"[", b"]", b"text", b"id", b"null", b"NaN"),
    *(b"\\ud800", b"\\u0000", b"\xff", b"\xed\xa0\x80", b"\0", b"PAR1", b"\x1f\x8b", b"\xef\xbb\xbf", b"-1e999"),
    *(b"9" * 5000, b"[" * 3000, b" " * 2000, b"x" * 5000),
]
KINDS = ("txt", "jsonl", "csv", "tsv", "parquet", "csv.gz", "jsonl.zst", "txt.xz", "tsv.bz2")


def parquet(rng: random.Random) -> bytes:
    count = rng.randint(0, 60)
    texts = rng.choices([*TEXTS, None] if rng.random() < 0.3 else TEXTS, k=count)
    kind = rng.choice(
        [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
    )
    column = pa.array(texts, pa.string())
    column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column.cast(kind)
    ids = rng.choice([range(count), [b"\xff"] * count, [None] * count, [[{"a": "b"}]] * count, [1.5] * count])
    file = io.BytesIO()
    table = pa.table({"id": pa.array(list(ids)), "text": column})
    compression = rng.choice(["none", "snappy", "zstd", "gzip"])
    pq.write_table(
        table, file, compression=compression, row_group_size=rng.choice([3, 1000]), use_dictionary=rng.random() < 0.5
    )
    return file.getvalue()


def content(rng: random.Random, kind: str) -> bytes:
    if kind == "parquet":
        return parquet(rng)
    if kind.startswith("jsonl"):
        data = "".join(
            json.dumps({"id": i, "text": rng.choice(TEXTS)}) + "\n" for i in range(rng.randint(0, 40))
        ).encode()
    elif kind.startswith("txt"):
        data = "\n".join(rng.choices(TEXTS, k=20)).encode()
    else:
        separator = "," if kind.startswith("csv") else "\t"
        rows = [
            ["id", "text"],
            *([str(i), '"' + rng.choice(TEXTS).replace('"', '""') + '"'] for i in range(rng.randint(0, 40))),
        ]
        data = "".join(separator.join(row) + "\n" for row in rows).encode()
    return data


def damaged(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice([0, 1, 1, 2, 5, 20])):
        at, size = rng.randint(0, len(data)), rng.choice([0, 0, 1, 1, 4, 50])
        data = data[:at] + rng.choice([rng.choice(PIECES), rng.randbytes(rng.randint(1, 8))]) + data[at + size :]
    return data[: rng.randint(0, len(data))] if rng.random() < 0.1 else data


def packed(kind: str, data: bytes) -> bytes:
    pack = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda d: pa.compress(d, "zstd", asbytes=True),
    }
    return pack[kind.split(".")[1]](data) if "." in kind else data


def once(rng: random.Random, folder: Path) -> str:
    """Read one damaged file, and write its rows. Returns how it ended."""
    kind = rng.choice(KINDS)
    data = packed(kind, damaged(rng, content(rng, kind)))
    path = folder / f"a.{kind}"
    path.write_bytes(damaged(rng, data) if "." in kind and rng.random() < 0.5 else data)
    reading = Reading(
        column=rng.choice([None] * 12 + ["text", "id", ""]),
        keep=rng.choice([()] * 6 + [("id",)] * 3 + [("id", "none")]),
        id_column=rng.choice([None] * 9 + ["id"]),
        format=rng.choice([None] * 90 + list(KINDS)),
        delimiter=rng.choice([None] * 60 + [",", ";", "tab", "\n", ""]),
        max_text_bytes=rng.choice([1, 1000, 1 << 20, 1 << 20]),
        on_error=rng.choice(["fail", "skip", "skip", "empty"]),  # type: ignore[arg-type]
    )
    source = folder if rng.random() < 0.2 else path
    output = folder / rng.choice(["_out.jsonl", "_out.parquet", "_out.npy"])
    try:
        with read_rows(source, reading) as reader, open_writer(output, 2, True, reader.kept_types) as writer:
            for row in reader:
                assert isinstance(row.text, str)
                row.text.encode()
                writer.write([row.text], np.zeros((1, 2), np.float32), [row.kept])
        ended = "read"
        if output.suffix == ".jsonl":
            for line in output.read_text("ascii").splitlines():
                json.loads(line, parse_constant=pytest.fail)
    except LamError as error:
        message = str(error)
        assert "expected" in message, message
        assert len(message.splitlines()) == 1, message
        ended = "refused"
    for used in folder.iterdir():
        used.unlink()
    return f"{kind} {ended}"


def run(seed: int, rounds: int | None, seconds: float = 0.0) -> Counter[str]:
    ends: Counter[str] = Counter()
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        number = 0
        while number < rounds if rounds is not None else time.monotonic() < until:
            rng = random.Random(f"{seed} {number}")
            try:
                ends[once(rng, Path(name))] += 1
            except BaseException:
                print(f"seed {seed}, round {number}", file=sys.stderr)
                raise
            number += 1
    return ends


@pytest.mark.slow
def test_damaged_files_of_texts() -> None:
    ends = run(seed=0, rounds=1500)
    for kind in KINDS:
        assert ends[f"{kind} read"] > 0
        assert ends[f"{kind} refused"] > 20


if __name__ == "__main__":
    for end, count in sorted(run(seed=int(time.time()), rounds=None, seconds=float(sys.argv[1])).items()):
        print(f"{count:8,} {end}")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
