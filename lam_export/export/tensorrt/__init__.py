"""A bundle's graph to a TensorRT plan. Only ``build.py`` needs TensorRT itself, and ``gpu.py`` a driver."""

from lam_engines.errors import LamError


class PlanError(LamError):
    """A plan that cannot be built: of these options, or here."""
