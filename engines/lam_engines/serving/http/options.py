"""How the server runs: places, limits, keys."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..limits import DEFAULT_MAX_TOKENS, TRUNCATIONS

MOST_SHARES = 4
"""Each costs the memory of a batch and of its prepared kernels."""
MAX_TEXTS = 2048
"""Largest number of texts in a request, as at OpenAI."""


@dataclass(frozen=True)
class HttpOptions:
    """Everything about the server that does not follow from the bundles."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8080
    """Port to listen on; 0: any free one."""
    api_keys: tuple[str, ...] = ()
    """Keys of clients. Without one, only this machine's own address may be listened on."""
    admin_key: str | None = None
    """Key of ``/admin/reload``; without it there is no such path."""
    insecure: bool = False
    """Listen on other addresses without keys."""
    tls_cert: Path | None = None
    """PEM file of the certificate and of those that lead to its root."""
    tls_key: Path | None = None
    """PEM file of the certificate's key."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of the header ``Host`` that are served, without port. Default: any; on this machine's own address, its
    names, so that no web page reaches the server through a name of its own (DNS rebinding)."""
    cors_origins: tuple[str, ...] = ()
    """Web pages that may ask from a browser, such as ``https://example.org``; ``*``: all."""
    max_tokens: int = DEFAULT_MAX_TOKENS
    """Tokens of the longest text, special tokens included."""
    truncation: str = TRUNCATIONS[0]
    """What happens to longer texts; one of :data:`~lam_engines.serving.limits.TRUNCATIONS`."""
    max_request_tokens: int = 1 << 18
    """Largest number of tokens in a request."""
    max_body: int = 32 << 20
    """Largest size of a request in bytes. Four times as much may be on its way at once."""
    max_connections: int = 1000
    """Connections that may be open. More are closed at once."""
    batch_tokens: int | None = None
    """Largest number of tokens in a batch, padding counted; None: the engine's default."""
    instances: int | None = None
    """Batches that are computed at the same time, of all models together; None: as many as an engine gains by, at most
    :data:`MOST_SHARES`."""
    queue_timeout: float = 30.0
    """Seconds that a text may have to wait. A request that would wait longer is refused at once."""
    read_timeout: float = 10.0
    """Seconds in which a request's head must arrive; its body has three times as long."""
    drain_delay: float = 3.0
    """Seconds between SIGTERM and the end of listening, in which load balancers see that the server is not ready."""
    stop_timeout: float = 15.0
    """Seconds that running requests have to finish when the server stops."""
    access_log: str | None = None
    """File that a JSON line is appended to for every request; ``-``: standard output."""
    tracing: bool = False
    """Send OpenTelemetry traces, as its environment variables say."""

    def __post_init__(self) -> None:
        """Check what can be checked without a bundle.

        Raises:
            InputError: a value is out of range, or the server would be open to others without a key.
        """
        if self.truncation not in TRUNCATIONS:
            raise InputError(f"expected truncation {' or '.join(TRUNCATIONS)}, found {self.truncation!r}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError("expected --tls-cert with --tls-key, found one alone; give both")
        for name in ("max_tokens", "max_request_tokens", "max_body", "max_connections", "instances"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"expected {name} of at least 1, found {value}")
        if not (self.api_keys or self.insecure or _is_loopback(self.host)):
            raise InputError(
                f"expected an API key to listen on {self.host}, found none: anybody there could use the server; give "
                f"one (LAM_API_KEY, --api-key-file FILE), or allow it with --insecure"
            )

    @property
    def served_hosts(self) -> Sequence[str]:
        """Values of ``Host`` that are served, without port; empty: any."""
        if self.allowed_hosts or not _is_loopback(self.host):
            return () if "*" in self.allowed_hosts else self.allowed_hosts
        return ("localhost", "127.0.0.1", "[::1]", self.host)


def read_keys(file: Path) -> tuple[str, ...]:
    """The keys of a file: one a line. Empty lines and lines that begin with ``#`` are left out.

    Raises:
        InputError: the file cannot be read, or holds no key.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected a text file with API keys, found {file}: {error}; name another") from None
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise InputError(f"expected an API key in a line of {file}, found none; write one: openssl rand -hex 32")
    return keys


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        return False
