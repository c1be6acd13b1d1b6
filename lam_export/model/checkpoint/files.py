"""Finds and reads the files of a checkpoint. None of them is trusted."""

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from lam_engines.contract import CHECKSUMS, TOKENIZER

from .errors import CheckpointError

_PREFERRED = ("model.safetensors", "pytorch_model.bin")
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
_ZIP_FOLDER = 0x10  # in an entry's external attributes


def find_weights(path: Path) -> Path:
    """The weights file of a checkpoint: the file itself, or the one in the folder.

    Raises:
        CheckpointError: there is no weights file, or there are several and none has a standard name.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(f"expected a checkpoint file or folder, found nothing at {path}")
    for name in _PREFERRED:
        if (path / name).is_file():
            return path / name
    candidates = sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES and p.is_file())
    if len(candidates) == 1:
        return candidates[0]
    found = ", ".join(p.name for p in candidates) or "none"
    raise CheckpointError(
        f"expected one weights file ({' or '.join(_PREFERRED)}) in {path}, found {found}; name the file itself"
    )


def read_tensors(path: Path) -> dict[str, Any]:
    """The content of a ``.safetensors`` file or of a pickle of tensors, on the CPU.

    Pickles are opened with ``weights_only=True``, so no code in them runs.

    Raises:
        CheckpointError: the file is truncated, damaged or of another kind, or the pickle holds more than tensors.
    """
    try:
        content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except CheckpointError:
        raise
    except Exception as error:  # parsers of foreign bytes raise all kinds of errors
        raise CheckpointError(
            f"{path} is truncated, damaged or no checkpoint ({type(error).__name__}: {_first_line(error)}); "
            f"copy it again from its source"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"expected a dictionary of tensors in {path}, found a {type(content).__name__}")
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_pickle(path: Path) -> Any:
    import pickle

    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # torch.load does not compare the archive's CRCs.
            if (damaged := archive.testzip()) is not None:
                raise CheckpointError(f"{path} is damaged: {damaged} in it fails its CRC; copy it again")
            # torch.load skips an entry that is marked as a folder, and leaves its tensor uninitialised.
            folders = [entry.filename for entry in archive.infolist() if entry.external_attr & _ZIP_FOLDER]
            if folders:
                raise CheckpointError(f"{path} is damaged: {folders[0]} in it is marked as a folder; copy it again")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or a pickle that holds more than tensors and plain values, which is refused because "
            f"opening it could run code; save its state dict with safetensors.torch.save_file"
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of the folder, or an empty dictionary if there is none.

    Raises:
        CheckpointError: it is no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no valid JSON ({_first_line(error)}); copy it again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"expected a JSON object in {path}, found a {type(config).__name__}")
    return config


def check_sums(weights: Path) -> None:
    """Compare the weights file, the config and the tokenizer with the ``SHA256SUMS`` of their folder.

    The list has the format of ``sha256sum``. Other files in it are ignored. Without a list, nothing is checked.

    Raises:
        CheckpointError: a file differs, or the list cannot be read.
    """
    sums = weights.parent / CHECKSUMS
    if not sums.is_file():
        return
    read = (weights.name, "config.json", TOKENIZER)
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](?:\./)?(.+)", line)
        if match is None:
            raise CheckpointError(f"{sums} is damaged: expected '<sha256>  <file name>', found {line[:80]!r}")
        digest, name = match.groups()
        path = weights.parent / name
        if name not in read:
            continue
        if not path.is_file():
            raise CheckpointError(f"{sums} lists {name}, which is not in {weights.parent}; copy the checkpoint again")
        if (found := sha256_of(path)) != digest:
            raise CheckpointError(f"{path} is damaged or was changed: expected sha256 {digest}, found {found}")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no details"])[0][:200]
