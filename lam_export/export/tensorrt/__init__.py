"""A bundle's graph to a TensorRT plan. Only ``build.py`` and ``environment.py`` need TensorRT itself."""

from lam_engines.errors import LamError


class PlanError(LamError):
    """A plan cannot be built with these options, or not on this machine."""
