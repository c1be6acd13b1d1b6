"""The C++ tokenizer against the ``tokenizers`` library on a single thread: the same ids, and the time of each.

scripts/build_cpp
python benchmarks/cpp_tokenizer.py demo-bundle/tokenizer.json texts.txt
"""

import os
import struct
import subprocess
import time
from pathlib import Path
from typing import Annotated

import typer

os.environ["TOKENIZERS_PARALLELISM"] = "false"
PROGRAM = Path(__file__).parents[1] / "engines/cpp/build/release/tests/lam-tokenize-test"


def ids_in_cpp(tokenizer: Path, texts: list[str], program: Path) -> tuple[list[list[int]], float]:
    """The ids of every text, and the seconds of the whole process, its start included."""
    frames = b"".join(struct.pack("<Q", len(data)) + data for data in (text.encode() for text in texts))
    start = time.perf_counter()
    out = subprocess.run([program, tokenizer], input=frames, stdout=subprocess.PIPE, check=True).stdout
    seconds = time.perf_counter() - start
    ids, offset = [], 0
    while offset < len(out):
        (count,) = struct.unpack_from("<Q", out, offset)
        ids.append(list(struct.unpack_from(f"<{count}q", out, offset + 8)))
        offset += 8 + 8 * count
    return ids, seconds


def main(
    tokenizer: Path,
    texts: Annotated[list[Path], typer.Argument(help="Files of UTF-8, a text on each line.")],
    program: Path = PROGRAM,
) -> None:
    from tokenizers import Tokenizer, __version__

    lines = [line for path in texts for line in path.read_text(encoding="utf-8").split("\n")]
    library = Tokenizer.from_file(str(tokenizer))
    library.no_truncation()
    library.no_padding()
    start = time.perf_counter()
    expected = [encoding.ids for encoding in library.encode_batch_fast(lines)]
    library_seconds = time.perf_counter() - start
    _, start_seconds = ids_in_cpp(tokenizer, [], program)
    found, seconds = ids_in_cpp(tokenizer, lines, program)
    unlike = sum(ours != theirs for ours, theirs in zip(found, expected, strict=True))
    print(f"{len(lines)} texts, {sum(map(len, expected))} ids, {unlike} texts with other ids")
    print(f"tokenizers {__version__}: {library_seconds * 1e3:.0f} ms, one thread")
    print(f"C++: {(seconds - start_seconds) * 1e3:.0f} ms, pipes included; start {start_seconds * 1e3:.0f} ms")
    raise typer.Exit(2 if unlike else 0)


if __name__ == "__main__":
    typer.run(main)
