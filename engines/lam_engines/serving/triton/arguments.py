"""Arguments of ``tritonserver`` that are the same on every machine, and which of its releases have a safe HTTP port."""

import secrets

CACHE_BYTES = 64 << 20
"""Size of the response cache: about 30,000 embeddings of 384 values."""
SAFE = (2, 59, 1)
"""Triton's version in release 25.07. In older ones the HTTP port crashes on large requests, and can be made to run code
(CVE-2025-23310 and others)."""
_EXIT_MARGIN = 5
"""Seconds by which Triton's own time limit for stopping is shorter than ours."""


def has_safe_http(version: str) -> bool:
    """Whether a version of Triton, such as 2.51.0, may be asked over HTTP by others."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit()) >= SAFE


def steady_arguments(stop_timeout: float = 15.0) -> list[str]:
    """Arguments of ``tritonserver`` that are the same on every machine.

    Only who sends this call's random key, in the header ``admin-key``, may register shared memory, change the log or
    load models. Nobody is told the key.

    Args:
        stop_timeout: seconds after which a stopping server is killed.
    """
    shut = f"shared-memory,logging,trace,model-repository:admin-key={secrets.token_hex(16)}"
    return [
        f"--http-restricted-api={shut}",
        f"--grpc-restricted-protocol={shut}",
        f"--exit-timeout-secs={max(1, round(stop_timeout) - _EXIT_MARGIN)}",
        f"--cache-config=local,size={CACHE_BYTES}",  # used only by models whose configuration asks for it
    ]
