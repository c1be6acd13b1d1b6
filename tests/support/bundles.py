"""Bundles for tests that need no model in them, and the forger of manifests."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lam_engines.bundles.bundle import Bundle, entry_of, file_entry
from lam_engines.bundles.checksums import Checksums
from lam_engines.bundles.manifest import Manifest, ModelInfo, Source, is_plain_relative
from lam_engines.bundles.writing import write_bundle
from lam_engines.contract import CHECKSUMS, MANIFEST
from lam_engines.errors import BundleError


def graph(producer: bytes) -> bytes:
    """An ONNX file that holds nothing but the name of its producer."""
    size = b"".join(bytes([len(producer) >> shift & 0x7F | 0x80]) for shift in (0, 7)) + bytes([len(producer) >> 14])
    return b"\x12" + size + producer


FILES = {"model.onnx": graph(b"a graph"), "tokenizer.json": b"a tokenizer"}


def manifest_of(folder: Path, names: list[str]) -> Manifest:
    """A manifest that lists these files of the folder, and no graphs."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return Manifest(
        format_version=1,
        model=ModelInfo(
            **sizes,
            vocab_size=32,
            type_vocab_size=2,
            position_rows=4,
            layer_norm_eps=1e-12,
            pad_token_id=0,
            ffn_activation_passes=2,
            blend=(0.1, 0.9),
        ),
        form="flat",
        chunk_size=128,
        checkpoint=Source(file="modèle.bin", sha256="0" * 64),
        teacher=None,
        files={name: file_entry(folder / name) for name in names},
        graphs={},
        max_tokens_tested=2000,
        parity={"model.onnx": {"max_abs": 2.1445859499369393e-07}},
        tools={"python": "3.10"},
    )


def write(path: Path, files: Mapping[str, bytes] = FILES, *, force: bool = False) -> Path:
    """Write a bundle of these files; returns ``path``."""
    with write_bundle(path, force=force) as (draft, commit):
        for name, content in files.items():
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_bytes(content)
        commit(manifest_of(draft, list(files)))
    return path


def read_all(bundle: Path) -> dict[str, bytes]:
    """Every file that the bundle lists, through all checks."""
    opened = Bundle(bundle)
    return {name: opened.read(name) for name in opened.manifest.files}


def check_with_sha256sum(bundle: Path) -> None:
    """Check a bundle with the tool that its ``SHA256SUMS`` is for."""
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum")
    command = ["sha256sum", "--check", "--strict", CHECKSUMS]
    result = subprocess.run(command, cwd=bundle, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def seal(bundle: Path) -> None:
    """Give a bundle the ``SHA256SUMS`` that belongs to its manifest, whatever that is, as an attacker would.

    Entries of the manifest that no ``SHA256SUMS`` can have are left out.
    """
    content = (bundle / MANIFEST).read_bytes()
    hashes: dict[str, str] = {}
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        for name, entry in json.loads(content)["files"].items():
            if is_plain_relative(name) and re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
                hashes[name] = entry["sha256"]
    (bundle / CHECKSUMS).write_bytes(Checksums(MANIFEST, entry_of(content).sha256, hashes).to_bytes())


def forge(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the fields of a bundle's manifest, and seal it."""
    fields = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    change(fields)
    (bundle / MANIFEST).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    seal(bundle)


def replace(bundle: Path, name: str, content: bytes) -> None:
    """Put other content in a file's place, with the hashes that belong to it."""
    (bundle / name).write_bytes(content)
    forge(bundle, lambda fields: fields["files"].update({name: entry_of(content).model_dump()}))


def forge_manifest(bundle: Path, content: bytes) -> None:
    """Put something else in the manifest's place, and seal it."""
    (bundle / MANIFEST).write_bytes(content)
    seal(bundle)


def refusal(action: Callable[[], object]) -> str:
    """The message, one line, with which a bundle must be refused."""
    with pytest.raises(BundleError) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable(), message
    return message
