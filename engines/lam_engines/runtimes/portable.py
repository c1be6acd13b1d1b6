"""What a runtime takes along to compute in the processes of another server, as Triton's are."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Portable:
    """What runs a bundle where this package's dependencies are not: in the processes of another server.

    The runtime's module ``network`` has a function ``load(folder, precision, threads, workers)``. It gives a
    :class:`~lam_engines.serving.triton.models.networks.Network`.
    """

    file: str
    """The bundle's file, which ``load`` finds as ``model.onnx``."""
    modules: tuple[str, ...]
    """The module and those that it imports, as paths below ``lam_engines``."""
    packages: Mapping[str, str]
    """Packages of PyPI that it imports, and the version that each must have; empty: any."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files for the folder."""
