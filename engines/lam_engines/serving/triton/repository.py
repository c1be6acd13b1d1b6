"""Writing a model repository: whole or not at all."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...bundles.bundle import Bundle
from ...bundles.whole import FolderKind, check_place, drafted_folder, put_folder_in_place
from ...errors import BundleError, EngineError, installing
from .options import ServingOptions

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    from .check import Expected
    from .configs import Model

RECORD = "repository.json"
"""File that names the bundle and the options of a repository. Triton ignores it."""
_BEGINNING = b'{\n  "lam_repository": '


def _is_repository(folder: Path) -> bool:
    record = folder / RECORD
    return record.is_file() and record.read_bytes().startswith(_BEGINNING)


REPOSITORY = FolderKind("repository of lam-export", "choose another place: -o REPOSITORY", _is_repository, BundleError)


def write_repository(
    bundle: Bundle | Path | str, folder: Path | str, options: ServingOptions | None = None, *, force: bool = False
) -> Path:
    """Write a model repository for Triton from a bundle, whose files are checked against their hashes.

    It holds ``lam_embed``, an ensemble of ``lam_tokenizer`` and ``lam_core``. Its input is ``text`` BYTES ``[B, 1]`` in
    UTF-8. Its outputs are ``sentence_embedding`` FP32 ``[B, hidden]``, ``token_count`` INT32 ``[B, 1]`` and
    ``truncated`` BOOL ``[B, 1]``. With the flavours onnxruntime and tensorrt, the network is a model ``lam_model``.

    Args:
        bundle: an open bundle, or its folder.
        folder: of the repository. It is written beside its place, checked by
            :func:`~lam_engines.serving.triton.check.check_repository`, and renamed when it is whole.
        options: how to serve. Default: all defaults.
        force: replace an existing repository. Any other folder is never replaced.

    Returns:
        ``folder``.

    Raises:
        BundleError: the bundle is broken or has nothing for the flavour, or the folder is taken or cannot be written.
        InputError: the options do not fit the flavour; see :func:`~lam_engines.serving.triton.flavours.resolve`.
        EngineError: the extra ``serve`` is not installed.
    """
    from .flavours import models_of, resolve

    require_client()
    bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
    options = resolve(bundle, options or ServingOptions())
    return put_repository(Path(folder), *models_of(bundle, options), record_of(bundle, asdict(options)), force=force)


def record_of(bundle: Bundle, options: Mapping[str, object]) -> str:
    """The content of :data:`RECORD`."""
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
    """Write a repository beside its place, check it, and rename it.

    Args:
        folder: of the repository.
        models: the models of the repository.
        expected: facts that the models must agree with.
        record: from :func:`record_of`.
        force: replace an existing repository.

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
    """Check that tritonclient is installed.

    Raises:
        EngineError: it is not; the message says what to install.
    """
    try:
        import tritonclient.grpc.model_config_pb2  # noqa: F401
    except ImportError:
        raise EngineError(f"tritonclient is not installed; run: {installing('serve')}") from None
