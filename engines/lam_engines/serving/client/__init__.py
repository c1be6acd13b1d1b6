"""A client of a served encoder, with batches, timeouts and retries. It talks to the own server and to Triton.

with EmbeddingClient("http://127.0.0.1:8080") as client:
    vectors = client.embed(["a first text", "and another"])
"""

from .asynchronous import AsyncEmbeddingClient
from .errors import RefusedError, ServerBusyError, ServerError, ServerTimeoutError, ServerUnavailableError
from .sync import EmbeddingClient
from .wire import Embeddings

__all__ = [
    "AsyncEmbeddingClient",
    "EmbeddingClient",
    "Embeddings",
    "RefusedError",
    "ServerBusyError",
    "ServerError",
    "ServerTimeoutError",
    "ServerUnavailableError",
]
