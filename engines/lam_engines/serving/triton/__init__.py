"""NVIDIA Triton Inference Server: a model repository from a bundle, and the server that serves it.

    write_repository("my-model", "repository")
    with TritonServer("repository") as server:
        server.grpc_url, server.http_url, server.metrics_url   # each HOST:PORT

Needs the extra ``serve``.
"""

from .memory_repository import MemoryServing, write_memory_repository
from .options import ServingOptions
from .repository import write_repository
from .server import TritonServer

__all__ = [
    "MemoryServing",
    "ServingOptions",
    "TritonServer",
    "write_memory_repository",
    "write_repository",
]
