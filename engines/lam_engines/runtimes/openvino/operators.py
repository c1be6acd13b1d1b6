"""The fused delta rule as a native operator of OpenVINO: ``liblam_operators``, which ``scripts/build_cpp`` builds."""

import ctypes
import hashlib
import os
from pathlib import Path

from ...bundles.bundle import Bundle
from ...contract import INLINED_MODEL, MODEL, OPERATORS_VARIABLE
from ...errors import EngineError

_FORM, _CHUNK_SIZE = "flat", 128
_REMEDY = f"build it beside this OpenVINO: scripts/build_cpp, or leave {OPERATORS_VARIABLE} unset"


def find_operators(bundle: Bundle) -> Path | None:
    """The library that the environment variable ``LAM_OPERATORS`` names, if a bundle can use it.

    The operator computes layers of the flat form with chunks of 128 tokens, in ``model.onnx``.

    Returns:
        The library's path, unchecked; None if the variable is unset or empty, or if the bundle cannot use the operator.
    """
    manifest = bundle.manifest
    if MODEL not in manifest.files or (manifest.form, manifest.chunk_size) != (_FORM, _CHUNK_SIZE):
        return None
    named = os.environ.get(OPERATORS_VARIABLE)
    return Path(named).absolute() if named else None


def check_operators(path: Path, version: str) -> None:
    """See that a library of operators was built for this process's OpenVINO, which must be loaded already.

    Args:
        path: the library's absolute path.
        version: the version of this process's OpenVINO, such as 2026.4.1.

    Raises:
        EngineError: there is no such file, it is another library, or it was built for another OpenVINO.
    """
    if not path.is_file():
        raise EngineError(
            f"expected the library of operators in {OPERATORS_VARIABLE}, found no file {str(path)!r}; {_REMEDY}"
        )
    try:
        # The library has no path to OpenVINO, so it links with this process's OpenVINO or fails.
        built_with = ctypes.CDLL(str(path)).lam_operators_openvino_version
    except (OSError, AttributeError) as error:
        raise EngineError(
            f"OpenVINO {version} cannot use the {OPERATORS_VARIABLE} {str(path)!r} ({error}); {_REMEDY}"
        ) from None
    built_with.restype = ctypes.c_char_p
    if (found := built_with().decode()) != version:
        raise EngineError(
            f"expected operators for OpenVINO {version}, found those for {found} in {str(path)!r}; {_REMEDY}"
        )


def graph_of(bundle: Bundle) -> str:
    """The name of the file that :class:`OpenVinoEngine` would run. The bundle may lack it."""
    return INLINED_MODEL if find_operators(bundle) is None else MODEL


def operators_sha256(bundle: Bundle) -> str:
    """The hash of the operators' library that :class:`OpenVinoEngine` uses for a bundle; empty if it uses none.

    Raises:
        EngineError: the library cannot be read.
    """
    path = find_operators(bundle)
    if path is None:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(
            f"expected the library of operators in {OPERATORS_VARIABLE}, found {str(path)!r} ({error.strerror}); "
            f"{_REMEDY}"
        ) from None
