"""Writing a model repository: whole or not at all."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...bundles.bundle import Bundle
from ...bundles.whole import FolderKind, check_place, drafted_folder, put_folder_in_place
from ...errors import BundleError, EngineError
from .options import ServingOptions

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    from .check import Expected
    from .flavours import Model

RECORD = "repository.json"
"""What a repository was made from, and with which options. Triton takes no notice of it."""
_BEGINNING = b'{\n  "lam_repository": '


def _is_repository(folder: Path) -> bool:
    record = folder / RECORD
    return record.is_file() and record.read_bytes().startswith(_BEGINNING)


REPOSITORY = FolderKind("repository of lam-export", "choose another place: -o REPOSITORY", _is_repository, BundleError)


def write_repository(
    bundle: Bundle | Path | str, folder: Path | str, options: ServingOptions | None = None, *, force: bool = False
) -> Path:
    """Write a model repository for Triton, from a bundle whose files are checked against their hashes.

    It holds ``lam_embed`` (input ``text``, BYTES ``[B, 1]`` of UTF-8; outputs ``sentence_embedding`` FP32
    ``[B, hidden]``, ``token_count`` INT32 ``[B, 1]``, ``truncated`` BOOL ``[B, 1]``), an ensemble of ``lam_tokenizer``
    and ``lam_core``, and with the flavours onnxruntime and tensorrt ``lam_model``, the network.

    Args:
        bundle: an open bundle, or where it is.
        folder: of the repository; written beside its place and renamed when it is whole and has passed
            :func:`~lam_engines.serving.triton.check.check_repository`.
        options: how to serve; the defaults if left out.
        force: replace a repository that is there. A folder that is none is never replaced.

    Returns:
        ``folder``.

    Raises:
        BundleError: the bundle is broken, has nothing for the flavour, or the folder is taken or cannot be written.
        EngineError: the extra ``serve`` is not installed.
    """
    from .flavours import models_of, resolve

    require_client()
    bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
    options = resolve(bundle, options or ServingOptions())
    return put_repository(Path(folder), *models_of(bundle, options), record_of(bundle, options.as_dict()), force=force)


def record_of(bundle: Bundle, options: Mapping[str, object]) -> str:
    """What a repository says of itself, as JSON."""
    record = {
        "lam_repository": 1,
        "bundle": bundle.path.resolve().name,
        "manifest_sha256": bundle.manifest_sha256,
        "options": options,
    }
    return json.dumps(record, indent=2) + "\n"


def put_repository(
    folder: Path, models: "Iterable[Model]", expected: "Expected", record: str, *, force: bool = False
) -> Path:
    """Write models beside their place, check them, and rename them there.

    Args:
        folder: of the repository.
        models: what it holds.
        expected: what they must agree with.
        record: from :func:`record_of`.
        force: replace a repository that is there.

    Returns:
        ``folder``.

    Raises:
        BundleError: the folder is taken or cannot be written, or the models do not hang together.
    """
    from .check import check_repository

    place = check_place(folder, REPOSITORY, force)
    with drafted_folder(place, REPOSITORY) as draft:
        for config, files in models:
            _write_model(draft / config.name, config, files)
        (draft / RECORD).write_text(record, encoding="ascii")
        check_repository(draft, expected)
        put_folder_in_place(draft, place, replace=force)
    return folder


def _write_model(folder: Path, config: "ModelConfig", files: Mapping[str, bytes]) -> None:
    from google.protobuf import text_format

    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def require_client() -> None:
    """Raises EngineError if the extra ``serve`` is not installed."""
    try:
        import tritonclient.grpc.model_config_pb2  # noqa: F401
    except ImportError:
        raise EngineError("tritonclient is not installed; run: pip install 'lam-export[serve]'") from None
