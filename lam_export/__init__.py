"""Turn a trained LAM checkpoint into verified production artefacts."""

__version__ = "0.1.0"
