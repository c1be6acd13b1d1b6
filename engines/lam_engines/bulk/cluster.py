"""Ray for one run: on this machine alone, without telemetry, and gone when the run ends; or a cluster that runs."""

import logging
import math
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import EngineError, installing
from ..silence import silent
from . import guard

_OBJECT_STORE_BYTES = 100 << 20
"""Workers read texts and write embeddings themselves. Only row counts and errors go through Ray."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # send no reports of use
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listen on 127.0.0.1 only, on every system
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_OLDEST = (2, 50)
_PATIENCE = 5.0
"""Seconds until a machine counts as not there."""
LOCAL = "local"
"""The address of a Ray of the run's own."""


def require_ray() -> None:
    """Check that Ray is installed.

    Raises:
        EngineError: it is not installed, or too old; the message says what to install.
    """
    if find_spec("ray") is None:
        raise EngineError(f"Ray is not installed; run: {installing('ray')}")
    from importlib.metadata import version

    if tuple(map(int, version("ray").split(".")[:2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise EngineError(f"expected Ray {oldest} or newer, found {version('ray')}; run: {installing('ray')}")


@contextmanager
def ray_at(address: str, workers: int, gpus: float) -> Iterator[None]:
    """Join the cluster at an address; or start a Ray for this run, on this machine, if the address is ``local``.

    Args:
        address: ``auto``, ``HOST:PORT``, ``ray://HOST:PORT`` or ``local``.
        workers: actors that run at the same time, of a Ray for this run.
        gpus: GPUs of each of them.

    Raises:
        EngineError: there is no cluster at the address, it has another version of Ray, or Ray does not start.
    """
    with _local_ray(workers, gpus) if address == LOCAL else _joined(address):
        yield


@contextmanager
def _joined(address: str) -> Iterator[None]:
    os.environ.update(_QUIET)
    import ray

    _check_there(address)
    package = Path(__file__).parents[1]
    options: dict[str, Any] = {} if address.startswith("ray://") else {"log_to_driver": False}
    try:
        _init(
            address,
            runtime_env={"py_modules": [str(package)], "excludes": ["**/__pycache__"]},
            logging_level=logging.ERROR,
            **options,
        )
        yield
    finally:
        ray.shutdown()


def _init(address: str, **options: Any) -> None:
    import ray

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with silent():  # Ray's native library prints its log settings
            ray.init(address=address, **options)
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:300]
        if "ersion mismatch" in reason:
            help = f"install the cluster's versions of Ray and Python here, or take another cluster than {address}"
        elif address == LOCAL:
            help = "check that memory and /dev/shm are not full, and run the command again"
        else:
            help = f"see whether it runs: ray status --address {address}"
        raise EngineError(f"expected to use Ray at {address}, found: {reason}; {help}") from None
    for number, handler in handlers.items():  # Ray replaced them with its own
        signal.signal(number, handler)


def _check_there(address: str) -> None:
    """Look for the cluster before Ray does, which tries for minutes and then ends the process."""
    found = address.removeprefix("ray://")
    if address == "auto":
        from ray._private.services import canonicalize_bootstrap_address

        try:
            found = canonicalize_bootstrap_address("auto") or ""
        except ConnectionError:
            raise EngineError(
                "expected a Ray cluster on this machine, found none; start one: ray start --head, or name one: "
                "--address HOST:PORT"
            ) from None
    host, _, port = found.rpartition(":")
    if not host or not port.isdigit():
        raise EngineError(f"expected --address auto, HOST:PORT or ray://HOST:PORT, found {address!r}")
    if os.environ.get("RAY_USE_TLS", "0") == "0":
        _ask(address, found)


def _ask(address: str, server: str) -> None:
    """Make the smallest request that the server of a cluster's head, or of Ray's client, has to know."""
    import grpc

    client = address.startswith("ray://")
    method = "/ray.rpc.RayletDriver/ClusterInfo" if client else "/ray.rpc.NodeInfoGcsService/CheckAlive"
    with grpc.insecure_channel(server, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=_PATIENCE)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise EngineError(
                    f"expected {'Ray Client' if client else 'the head of a Ray cluster'} at {address}, found another "
                    f"server; take the head's port, mostly HOST:6379, or Ray Client's, mostly ray://HOST:10001"
                ) from None
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                reason = " ".join(error.details().rpartition("last error: ")[2].split())[:200]
                raise EngineError(
                    f"expected a Ray cluster at {address}, found none ({reason}); see where it runs: ray status, or "
                    f"start one there: ray start --head"
                ) from None


@contextmanager
def _local_ray(workers: int, gpus: float) -> Iterator[None]:
    """Start Ray. At the end of the block, end it with all its processes. Each worker counts as one CPU."""
    folder = Path(tempfile.mkdtemp(prefix="lam-ray-", dir="/tmp"))  # not TMPDIR: paths of sockets must be short
    os.environ.update(_QUIET | {guard.MARK: str(folder)})
    watch = guard.start(folder)
    import ray

    try:
        _init(
            LOCAL,
            num_cpus=workers,
            num_gpus=math.ceil(workers * gpus),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=str(folder),
        )
        yield
    finally:
        ray.shutdown()
        watch.communicate()
        del os.environ[guard.MARK]
