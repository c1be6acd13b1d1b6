"""Finds and reads the files of a checkpoint. None of them is trusted."""

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from lam_engines.contract import CHECKSUMS, TOKENIZER
from lam_engines.errors import first_line

from .errors import CheckpointError

_INDEX = ".index.json"
_PREFERRED = ("model.safetensors", "pytorch_model.bin", f"model.safetensors{_INDEX}", f"pytorch_model.bin{_INDEX}")
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_BESIDE = re.compile(r"(optimizer|scheduler|scaler|rng_state|random_states|training_args)")
"""Beginnings of the names of what trainers write beside the weights."""
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.(safetensors|bin)")
_POINTER = b"version https://git-lfs.github.com/spec/"
_ZIP_FOLDER = 0x10  # in an entry's external attributes


def find_weights(path: Path) -> Path:
    """The weights file of a checkpoint: the file itself, or the one in the folder.

    For weights in several files it is the index that names them. A folder of DeepSpeed names its newest step.

    Raises:
        CheckpointError: there is no weights file, or there are several and none has a standard name.
    """
    if path.is_file():
        if _SHARD.fullmatch(path.name):
            raise CheckpointError(f"{path} is one of several files with weights; name their folder: {path.parent}")
        return path
    if not path.is_dir():
        raise CheckpointError(f"expected a checkpoint file or folder, found nothing at {path}{_download(path)}")
    for name in _PREFERRED:
        if is_there(path / name):
            return path / name
    if (path / "latest").is_file():
        return _newest_of_deepspeed(path)
    candidates = sorted(
        p for p in path.iterdir() if p.suffix in _SUFFIXES and p.is_file() and not _BESIDE.match(p.name)
    )
    if len(candidates) == 1 and not _SHARD.fullmatch(candidates[0].name):
        return candidates[0]
    found = ", ".join(p.name for p in candidates) or "none"
    raise CheckpointError(
        f"expected one weights file ({' or '.join(_PREFERRED[:2])}, or several with {_PREFERRED[2]}) in {path}, found "
        f"{found}; name the file itself"
    )


def is_there(path: Path) -> bool:
    """Whether a file of a checkpoint is there.

    Raises:
        CheckpointError: something else is there, such as a link that leads nowhere. Without it the model is another.
    """
    if path.is_file() or not os.path.lexists(path):
        return path.is_file()
    found = "a link that leads nowhere" if path.is_symlink() else "a folder or device"
    raise CheckpointError(f"expected a file at {path}, found {found}; copy it again")


def _download(path: Path) -> str:
    """The remedy if a path looks like the name of a model on the Hugging Face Hub."""
    if path.is_absolute() or len(path.parts) != 2 or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(path)):
        return ""
    return f"; only local folders are read. Download it: hf download {path} --local-dir {path.name}"


def _newest_of_deepspeed(path: Path) -> Path:
    step = (path / "latest").read_text(encoding="utf-8", errors="replace").strip()
    weights = path / step / "mp_rank_00_model_states.pt"
    if re.fullmatch(r"\w[\w.-]*", step) and weights.is_file():
        return weights
    raise CheckpointError(
        f"expected DeepSpeed's weights in {weights}, found none: ZeRO-3 and pipelines spread them over processes; put "
        f"them together with the script that DeepSpeed wrote there: python {path}/zero_to_fp32.py {path} {path}"
    )


def notes_of(weights: Path) -> list[str]:
    """A sentence if DeepSpeed holds more exact values of these weights elsewhere."""
    if not any(weights.parent.glob("*zero_pp_rank_*_optim_states.pt")):
        return []
    return ["these are the weights that DeepSpeed computed with; its zero_to_fp32.py gives them in float32"]


def parts_of(weights: Path) -> tuple[Path, ...]:
    """The files that hold the weights: the file itself, or all that an index names, in the order of their names.

    Raises:
        CheckpointError: the index is damaged, leads out of its folder, or names a file that is not there.
    """
    if not weights.name.endswith(_INDEX):
        return (weights,)
    names = set(_weight_map(weights).values())
    parts = tuple(weights.parent / name for name in sorted(names))
    if missing := [part.name for part in parts if not part.is_file()]:
        raise CheckpointError(f"{weights} names {missing[0]}, which is not beside it; copy the checkpoint again")
    return parts


def _weight_map(index: Path) -> dict[str, str]:
    found = _json_of(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"expected a weight_map with the file of each tensor in {index}; copy it again")
    wrong = [
        f for f in found.values() if not isinstance(f, str) or Path(f).name != f or Path(f).suffix not in _SUFFIXES
    ]
    if wrong:
        raise CheckpointError(f"expected names of files beside {index} in its weight_map, found {wrong[0]!r}")
    return found


def read_tensors(path: Path) -> dict[str, Any]:
    """The content of a ``.safetensors`` file, of a pickle of tensors, or of all files of an index, on the CPU.

    Pickles are opened with ``weights_only=True``, so no code in them runs.

    Raises:
        CheckpointError: the file is truncated, damaged or of another kind, or the pickle holds more than tensors.
    """
    if not path.name.endswith(_INDEX):
        return _read_file(path)
    content: dict[str, Any] = {}
    for part in parts_of(path):
        held = _read_file(part)
        if twice := content.keys() & held.keys():
            raise CheckpointError(f"expected each tensor once in the files of {path}, found {min(twice)} twice")
        content |= held
    if differing := content.keys() ^ _weight_map(path).keys():
        raise CheckpointError(f"{path} and its files disagree about the tensor {min(differing)}; copy them again")
    return content


def _read_file(path: Path) -> dict[str, Any]:
    check_pointer(path)
    try:
        content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except CheckpointError:
        raise
    except Exception as error:  # parsers of foreign bytes raise all kinds of errors
        raise CheckpointError(
            f"{path} is truncated, damaged or no checkpoint ({type(error).__name__}: {first_line(error)}); "
            f"copy it again from its source"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"expected a dictionary of tensors in {path}, found a {type(content).__name__}")
    return content


def check_pointer(path: Path) -> None:
    """See that a file is not what Git leaves in a large file's place.

    Raises:
        CheckpointError: it is a pointer of Git LFS.
    """
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(f"{path} is a Git LFS pointer, not the file itself; run in its folder: git lfs pull")


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
    return _json_of(path) if is_there(path) else {}


def _json_of(path: Path) -> dict[str, Any]:
    """A JSON object, in UTF-8 or UTF-16, with a byte order mark or without."""
    check_pointer(path)
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no valid JSON ({first_line(error)}); copy it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"expected a JSON object in {path}, found a {type(content).__name__}")
    return content


def check_sums(weights: Path) -> None:
    """Compare the weights file, the config and the tokenizer with the ``SHA256SUMS`` of their folder.

    The list has the format of ``sha256sum``. Other files in it are ignored. Without a list, nothing is checked.

    Raises:
        CheckpointError: a file differs, or the list cannot be read.
    """
    sums = weights.parent / CHECKSUMS
    if not is_there(sums):
        return
    read = {weights.name, "config.json", TOKENIZER, *(part.name for part in parts_of(weights))}
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


def sha256_of_weights(weights: Path) -> str:
    """The hash that names a checkpoint: of its file; of several, that of their lines in the format of ``sha256sum``."""
    parts = parts_of(weights)
    if len(parts) == 1:
        return sha256_of(parts[0])
    return hashlib.sha256("".join(f"{sha256_of(part)}  {part.name}\n" for part in parts).encode()).hexdigest()
