"""Tokenizers, manifests and graphs from a stranger, in bundles whose hashes fit: embedded, or refused in one line.

More of them, for longer: ``LAM_FUZZ_SECONDS=600 pytest tests/fuzz/test_fuzz_parts.py``. A part that brings the process
down, or takes more than 2 GB, fails the test: each runs in a process of its own, which reports what it does.
"""

import copy
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from bundles import replace, seal

from lam_engines import LamError, load_engine
from lam_engines.contract import MANIFEST, MODEL, TOKENIZER

SECONDS = float(os.environ.get("LAM_FUZZ_SECONDS", "15"))
MEMORY = 2 << 30
TEXTS = ["the cat sleeps", "", "東京 a" * 50]
VALUES: list[Any] = [None, True, 0, -1, 1, 2**31, 2**64, 10**400, 0.5, 1e308, "", "a", "\ud800", "x" * 10_000, [], {}]
VALUES += [
    "[UNK]",
    "Sequence",
    "Replace",
    "Precompiled",
    "WordPiece",
    "Split",
    {"Regex": "(a|a)*b"},
    [[[[]]]],
    ["[CLS]"],
]


def in_json(rng: random.Random, content: bytes) -> bytes:
    """Some values of a JSON file replaced, removed, repeated, or put where others were."""
    file = json.loads(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        holder, name = rng.choice(list(places(file)))
        kind = rng.randrange(4)
        if kind == 0 and isinstance(holder, dict):
            del holder[name]
        elif kind == 1 and isinstance(holder[name], list):
            holder[name] = holder[name] * rng.choice([2, 100, 20_000])
            break  # what is put into a repeated list is there as often: more than this process can write
        elif kind == 2:
            other, key = rng.choice(list(places(file)))
            holder[name] = json.loads(json.dumps(other[key]))
        else:
            holder[name] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(file).encode()


def peak() -> int:
    """Most bytes of memory that this process had. ``getrusage`` counts those of the process that started it, too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def places(value: Any) -> Any:
    """Every container and name or index in it; of a large one, a few."""
    names = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for name in names if len(names) < 50 else random.Random(0).sample(list(names), 5):
        yield value, name
        yield from places(value[name])


def in_bytes(rng: random.Random, content: bytes) -> bytes:
    """Some bytes changed, removed or repeated, mostly near the beginning, where the structure is."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 2, 8, 40])):
        at = min(int(rng.expovariate(1 / rng.choice([50, 2000, len(data)]))), len(data) - 1)
        kind = rng.randrange(4)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif kind == 2:
            del data[at : at + rng.choice([1, 2, 100])]
        else:
            data[at:at] = data[at : at + rng.choice([1, 10, 1000])]
        if not data:
            break
    return bytes(data)


def external(rng: random.Random, content: bytes) -> bytes:
    """A graph's weights said to lie in files all over the machine."""
    import onnx

    model = onnx.load_from_string(content)
    tensor = rng.choice(model.graph.initializer)
    location = rng.choice(["/etc/passwd", "/dev/zero", "../x", "model.onnx", "tokenizer.json", ""])
    tensor.external_data.add(key="location", value=location)
    if rng.random() < 0.8:
        tensor.data_location = onnx.TensorProto.EXTERNAL
    return model.SerializeToString()


KINDS: dict[str, tuple[str, list[Callable[[random.Random, bytes], bytes]]]] = {
    "tokenizer": (TOKENIZER, [in_json, in_json, in_json, in_bytes]),
    "manifest": (MANIFEST, [in_json, in_json, in_bytes]),
    "graph": (MODEL, [in_bytes, in_bytes, in_bytes, external]),
}


def attempt(bundle: Path, kind: str, seed: int) -> str:
    """Forge a part of a bundle and use it; what came of it."""
    name, ways = KINDS[kind]
    rng = random.Random(seed)
    content = rng.choice(ways)(rng, (bundle / name).read_bytes())
    if name == MANIFEST:
        (bundle / name).write_bytes(content)
        seal(bundle)
    else:
        replace(bundle, name, content)
    try:
        with load_engine(bundle) as engine:
            vectors = engine.embed(TEXTS)
        return f"embedded {vectors.shape}"
    except LamError as error:
        return "refused" if str(error).isprintable() else f"unprintable: {error!r}"


def work(source: Path, folder: Path, kind: str, seed: int, seconds: float) -> None:
    """Attempts until the time is up. The line of each is printed before it begins and after it ended."""
    until = monotonic() + seconds
    while monotonic() < until:
        print(f"begin {seed}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        found = attempt(Path(shutil.copytree(source, folder)), kind, seed)
        used = peak()
        print(f"end {seed} {used} {found}", flush=True)
        seed += 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_parts_from_a_stranger(kind: str, tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = f"Path({str(tiny_bundle)!r}), Path({str(tmp_path / 'bundle')!r})"
    seed = int(os.environ.get("LAM_FUZZ_SEED", "1"))
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", f"from test_fuzz_parts import *; work({arguments}, {kind!r}, {seed}, {SECONDS})"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        timeout=SECONDS + 300,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (lines[-1:], done.stderr[-3000:])
    ended = [line.split(maxsplit=3) for line in lines if line.startswith("end ")]
    assert len(ended) > 5
    found = [words[3] for words in ended]
    assert not [words for words in ended if words[3].startswith("unprintable")]
    assert "refused" in found
    assert max(int(words[2]) for words in ended) < MEMORY
    print(f"{kind}: {len(found)} tried, {found.count('refused')} refused, {max(int(w[2]) for w in ended) >> 20} MiB")
