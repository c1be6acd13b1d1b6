"""Which protocol an address stands for."""

from pathlib import Path
from urllib.parse import urlsplit

from ...contract import ENSEMBLE
from ...errors import InputError
from .grpc import GrpcCalls
from .http import HttpCalls


def calls_of(url: str, model: str | None, timeout: float, key: str | None, ca: str | None) -> GrpcCalls | HttpCalls:
    """The calls to a server. See :class:`.sync.EmbeddingClient` for the arguments.

    Raises:
        InputError: the address is of another kind, or the file of ``ca`` is missing.
    """
    parts = urlsplit(url)
    if not parts.netloc or parts.scheme not in ("http", "https", "grpc", "grpcs"):
        raise InputError(f"expected http://HOST:PORT, https://, grpc:// or grpcs://, found {url!r}")
    if ca is not None and not Path(ca).is_file():
        raise InputError(f"expected a PEM file of certificates, found no file {ca}; leave ca= out for the system's")
    if parts.scheme.startswith("grpc"):
        return GrpcCalls(url, model or ENSEMBLE, timeout, key, ca)
    return HttpCalls(url, model, timeout, key, ca)
