"""The fused delta rule as a native operator of OpenVINO, in the package ``lam-operators``."""

import ctypes
import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from ...bundles.bundle import Bundle
from ...contract import INLINED_MODEL, MODEL, OPERATORS_VARIABLE
from ...errors import EngineError, installing

_FORM, _CHUNK_SIZE = "flat", 128
_PACKAGE = "lam-operators"
_REMEDY = f"build it beside this OpenVINO: scripts/build_cpp, or leave {OPERATORS_VARIABLE} unset"


@dataclass(frozen=True)
class Operators:
    """The library of native operators that a bundle runs with."""

    path: Path | None
    """Unchecked; None if there is none."""
    why: str = ""
    """Why there is none, and what to do if something can be done."""


def find_operators(bundle: Bundle) -> Operators:
    """The library that the environment variable ``LAM_OPERATORS`` names, else that of the package ``lam-operators``.

    The operator computes layers of the flat form with chunks of 128 tokens, in ``model.onnx``. A package that was built
    with another OpenVINO is left alone; a library that the variable names is the user's word, and checked. If the
    variable is set to nothing, no library is used.
    """
    manifest = bundle.manifest
    if MODEL not in manifest.files or (manifest.form, manifest.chunk_size) != (_FORM, _CHUNK_SIZE):
        return Operators(None, f"the native operator computes the form {_FORM} with chunks of {_CHUNK_SIZE} alone")
    named = os.environ.get(OPERATORS_VARIABLE)
    if named is None:
        return packaged_operators()
    return Operators(Path(named).absolute()) if named else Operators(None, f"{OPERATORS_VARIABLE} is set to nothing")


def packaged_operators() -> Operators:
    """The library of the package ``lam-operators``, if it was built with this OpenVINO."""
    try:
        needs = "".join(requires(_PACKAGE) or ())
    except PackageNotFoundError:
        return Operators(None, "its native operator is not installed; in a clone, run: pip install ./engines/cpp")
    try:
        found = version("openvino")
    except PackageNotFoundError:
        return Operators(None, f"OpenVINO is not installed; run: {installing('cpu')}")
    if needs != f"openvino=={found}":
        return Operators(
            None,
            f"{_PACKAGE} needs {needs}, found {found}; in a clone, run: pip install --force-reinstall ./engines/cpp",
        )
    from lam_operators import LIBRARY

    return Operators(LIBRARY)


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
    return INLINED_MODEL if find_operators(bundle).path is None else MODEL


def operators_sha256(bundle: Bundle) -> str:
    """The hash of the operators' library that :class:`OpenVinoEngine` uses for a bundle; empty if it uses none.

    Raises:
        EngineError: the library cannot be read.
    """
    path = find_operators(bundle).path
    if path is None:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(
            f"expected the library of operators in {OPERATORS_VARIABLE}, found {str(path)!r} ({error.strerror}); "
            f"{_REMEDY}"
        ) from None
