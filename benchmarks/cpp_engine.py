"""The C++ engine beside Python's on the same backend, OpenVINO: the same embeddings, the throughput, and the start.

scripts/build_cpp
python benchmarks/cpp_engine.py demo-bundle texts.txt --threads 2

Both engines embed the same texts in this process in turn, the C++ one through its C interface; the ratio is the median
over pairs of neighbouring runs. The bundle must have been made with --inline.
"""

import ctypes
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from lam_engines import load_engine

BUILD = Path(__file__).parents[1] / "engines/cpp/build/release"
LIBRARY, TOOL = BUILD / "liblam_engine.so", BUILD / "lam-embed"


class _Options(ctypes.Structure):
    _fields_ = (
        ("backend", ctypes.c_char_p),
        ("precision", ctypes.c_char_p),
        ("threads", ctypes.c_int),
        ("cache", ctypes.c_char_p),
    )


def cpp_engine(bundle: Path, threads: int) -> Callable[[list[str]], np.ndarray]:
    """The function ``embed`` of a loaded C++ engine."""
    library = ctypes.CDLL(str(LIBRARY))
    library.lam_engine_hidden_size.restype = ctypes.c_size_t
    engine, error = ctypes.c_void_p(), ctypes.c_char_p()
    options = _Options(None, None, threads, None)
    place = str(bundle).encode()
    if library.lam_engine_load(place, ctypes.byref(options), ctypes.byref(engine), ctypes.byref(error)):
        raise SystemExit(f"error: {(error.value or b'').decode()}")
    columns = library.lam_engine_hidden_size(engine)

    def embed(texts: list[str]) -> np.ndarray:
        vectors = np.empty((len(texts), columns), dtype=np.float32)
        array = (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts))
        count, room = ctypes.c_size_t(len(texts)), vectors.ctypes.data_as(ctypes.c_void_p)
        if library.lam_engine_embed(engine, array, None, count, ctypes.c_size_t(0), room, ctypes.byref(error)):
            raise SystemExit(f"error: {(error.value or b'').decode()}")
        return vectors

    return embed


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of all cores."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def start_seconds(bundle: Path, *options: object) -> float:
    """From the start of ``lam-embed`` to the end of one short text."""
    command = [str(TOOL), str(bundle), *map(str, options)]
    start = time.perf_counter()
    subprocess.run(command, input=b"a text\n", stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main(
    bundle: Path,
    texts: Annotated[Path, typer.Argument(help="A text on each line, UTF-8.")],
    threads: int = 2,
    pairs: int = 9,
) -> None:
    lines = texts.read_text(encoding="utf-8").splitlines()
    with load_engine(bundle, "openvino", threads=threads) as python:
        cpp = cpp_engine(bundle, threads)
        distance = float(np.abs(cpp(lines) - python.embed(lines)).max())
        runs = [(timed(lambda: python.embed(lines)), timed(lambda: cpp(lines))) for _ in range(pairs)]
    print(f"{len(lines)} texts, embeddings at most {distance:.1e} apart")
    for kind, name in enumerate(("on the clock", "of all cores")):
        ratio = statistics.median(first[kind] / second[kind] for first, second in runs)
        slow, fast = (statistics.median(run[side][kind] for run in runs) for side in (0, 1))
        print(f"seconds {name}: Python {slow:.2f}, C++ {fast:.2f}; C++ is {ratio:.2f} times as fast")
    with tempfile.TemporaryDirectory() as cache:
        plain = min(start_seconds(bundle) for _ in range(pairs))
        start_seconds(bundle, "--cache", cache)
        kept = min(start_seconds(bundle, "--cache", cache) for _ in range(pairs))
    print(f"start to first embedding, the best of {pairs}: {plain:.2f} s, with --cache {kept:.2f} s")
    raise typer.Exit(0 if distance <= 2e-5 else 2)


if __name__ == "__main__":
    typer.run(main)
