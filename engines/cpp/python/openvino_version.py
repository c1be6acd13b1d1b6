"""Binds the package to the OpenVINO that it is built with. scikit-build-core calls it while it builds a wheel."""

from importlib.metadata import version
from typing import Any


def dynamic_metadata(field: str, settings: dict[str, Any] | None = None) -> list[str]:
    """The package's dependencies: the OpenVINO of the build, and no other."""
    if field != "dependencies" or settings:
        raise ValueError(f"expected dependencies without settings, found {field} with {settings}")
    return [f"openvino=={version('openvino')}"]
