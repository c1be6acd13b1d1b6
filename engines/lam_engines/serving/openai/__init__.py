"""OpenAI's API for embeddings, in front of Triton Inference Server."""

from .app import Settings, create_app
from .server import OpenAiFront, bind

__all__ = ["OpenAiFront", "Settings", "bind", "create_app"]
