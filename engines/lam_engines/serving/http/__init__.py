"""Our own server: bundles in one process, behind OpenAI's API, text-embeddings-inference's and KServe's."""

from .options import HttpOptions, read_keys
from .server import HttpServer

__all__ = ["HttpOptions", "HttpServer", "read_keys"]
