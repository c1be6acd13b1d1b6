"""A client of a served encoder, with batches, timeouts and retries.

with TritonClient("127.0.0.1:8001") as client:
    vectors = client.embed(["a first text", "and another"])
"""

from .asynchronous import AsyncTritonClient
from .errors import RefusedError, ServerBusyError, ServerError, ServerTimeoutError, ServerUnavailableError
from .sync import TritonClient
from .wire import Embeddings

__all__ = [
    "AsyncTritonClient",
    "Embeddings",
    "RefusedError",
    "ServerBusyError",
    "ServerError",
    "ServerTimeoutError",
    "ServerUnavailableError",
    "TritonClient",
]
