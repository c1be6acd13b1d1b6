"""A Ray of our own: on this machine alone, without telemetry, gone when it is not needed any more."""

import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ..errors import EngineError
from . import guard

_OBJECT_STORE_BYTES = 100 << 20
"""Texts and embeddings go from file to file; what goes through Ray is small."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves a machine unasked
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on every system: listen on 127.0.0.1 and nowhere else
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


def require_ray() -> None:
    """See that Ray Data is installed.

    Raises:
        EngineError: it is not; says what to install.
    """
    if find_spec("ray") is None or find_spec("pandas") is None:  # without pandas there is no ray.data
        raise EngineError("Ray is not installed; run: pip install 'lam-export[ray]'")


@contextmanager
def local_ray(workers: int, *, gpu: bool) -> Iterator[Path]:
    """Start Ray for a number of workers, and end it with all its processes.

    Args:
        workers: actors that run at a time; each counts as one CPU, however many threads it has.
        gpu: whether each needs a GPU.

    Yields a folder of this run, which is removed at its end.

    Raises:
        EngineError: Ray does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="lam-ray-", dir="/tmp"))  # not TMPDIR: paths of sockets must be short
    os.environ.update(_QUIET | {guard.MARK: str(folder)})
    watch = guard.start(folder)
    import ray
    import ray.data

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        try:
            with _silent():
                ray.init(
                    address="local",
                    num_cpus=workers,
                    num_gpus=workers if gpu else 0,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _temp_dir=str(folder),
                )
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EngineError(
                f"Ray {ray.__version__} does not start ({reason}); see that memory and /dev/shm are not full, and run "
                f"the command again"
            ) from None
        for number, handler in handlers.items():  # Ray puts its own in their place
            signal.signal(number, handler)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield folder
    finally:
        ray.shutdown()
        watch.communicate()
        del os.environ[guard.MARK]


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on standard error: Ray's library says there how much it will say."""
    error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(error, 2)
        os.close(nowhere)
        os.close(error)
