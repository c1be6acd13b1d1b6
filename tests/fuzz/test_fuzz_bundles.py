"""Bundles damaged at random: refused in one line, never with a traceback, never read as something else."""

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from bundles import forge, read_all, seal

from lam_engines import LamError, load_engine
from lam_engines.contract import CHECKSUMS, MANIFEST, NEXT_MANIFEST

TEXTS = ["the cat sleeps", "", "a man is reading a red book"]


def any_file(rng: random.Random, bundle: Path) -> Path:
    return rng.choice(sorted(bundle.iterdir()))


def flip_bits(rng: random.Random, bundle: Path) -> None:
    path = any_file(rng, bundle)
    content = bytearray(path.read_bytes())
    for i in rng.sample(range(len(content)), rng.choice([1, 1, 2, 50])):
        content[i] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(rng: random.Random, bundle: Path) -> None:
    path = any_file(rng, bundle)
    os.truncate(path, rng.randrange(path.stat().st_size))


def delete(rng: random.Random, bundle: Path) -> None:
    any_file(rng, bundle).unlink()


def insert(rng: random.Random, bundle: Path) -> None:
    path = any_file(rng, bundle)
    content = path.read_bytes()
    at = rng.randrange(len(content) + 1)
    path.write_bytes(content[:at] + rng.randbytes(rng.choice([1, 4, 1000])) + content[at:])


def swap(rng: random.Random, bundle: Path) -> None:
    one, other = rng.sample(sorted(bundle.iterdir()), 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def link_elsewhere(rng: random.Random, bundle: Path) -> None:
    path = any_file(rng, bundle)
    outside = bundle.parents[1] / f"outside-{bundle.parent.name}-{path.name}"
    path.rename(outside)
    path.symlink_to(rng.choice([outside, Path("../..") / outside.name]))


def repeat_a_line(rng: random.Random, bundle: Path) -> None:
    lines = (bundle / MANIFEST).read_text(encoding="utf-8").splitlines(keepends=True)
    fields = [i for i, line in enumerate(lines) if line.endswith(",\n") and '": ' in line]
    at = rng.choice(fields)
    lines.insert(at, lines[at])
    (bundle / MANIFEST).write_text("".join(lines), encoding="utf-8")
    if rng.random() < 0.5:
        seal(bundle)


def repeat_a_file(rng: random.Random, bundle: Path) -> None:
    """Entries of the same name, of which the last one is right."""
    path = bundle / MANIFEST
    content = path.read_text(encoding="utf-8")
    entry = json.dumps(json.loads(content)["files"]["tokenizer.json"])
    name = rng.choice(["model.onnx", "tokenizer.json"])
    path.write_text(content.replace('"files": {', f'"files": {{"{name}": {entry},', 1), encoding="utf-8")
    if rng.random() < 0.5:
        seal(bundle)


def forge_checksums(rng: random.Random, bundle: Path) -> None:
    """A line of ``SHA256SUMS`` more, less, or of another name."""
    path = bundle / CHECKSUMS
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = rng.randrange(len(lines))
    digest, old = lines[at].removesuffix("\n").split("  ")
    names = {MANIFEST, NEXT_MANIFEST, CHECKSUMS, "model.onnx", "../out", "x", ""} - {old}
    renamed = f"{digest}  {rng.choice(sorted(names))}\n"
    lines[at : at + 1] = rng.choice([[], [renamed], [lines[at]] * 2, [lines[at], renamed]])
    path.write_text("".join(lines), encoding="utf-8")


def forge_a_path(rng: random.Random, bundle: Path) -> None:
    """A path that leads out to the right file, in a manifest with the hash that belongs to it."""
    old = rng.choice(["model.onnx", "model.inlined.onnx", "tokenizer.json"])
    shutil.copy(bundle / old, bundle.parent / "out")
    names = ["../out", "x/../../out", str(bundle.parent / "out"), "..\\out", "C:\\out", "/etc/passwd", "./out", "out\n"]
    new = rng.choice(names)

    def change(fields: dict[str, dict[str, object]]) -> None:
        for place in rng.choice([["files"], ["graphs"], ["files", "graphs"]]):
            entry = fields[place].get(old, fields[place]["model.onnx"])
            fields[place][new] = entry
            if rng.random() < 0.5:
                fields[place].pop(old, None)

    forge(bundle, change)


DAMAGES = [truncate, delete, insert, swap, link_elsewhere, repeat_a_line, repeat_a_file, forge_checksums]
DAMAGES += [flip_bits, forge_a_path] * 3


def embed(bundle: Path) -> np.ndarray:
    with load_engine(bundle) as engine:
        return engine.embed(TEXTS)


@pytest.mark.heavy
@pytest.mark.parametrize("part", range(4))
def test_damaged_bundles_are_refused(tiny_bundle: Path, tmp_path: Path, part: int) -> None:
    expected = embed(tiny_bundle)
    harmless = 0
    for seed in range(50 * part, 50 * part + 50):
        rng = random.Random(seed)
        bundle = Path(shutil.copytree(tiny_bundle, tmp_path / str(seed) / "bundle"))
        rng.choice(DAMAGES)(rng, bundle)
        with pytest.raises(LamError) as caught:
            read_all(bundle)
        messages = [str(caught.value)]
        try:
            np.testing.assert_array_equal(embed(bundle), expected)
            harmless += 1  # in a file that this engine does not read
        except LamError as error:
            messages.append(str(error))
        assert all(message.isprintable() for message in messages), messages
    assert harmless < 25
