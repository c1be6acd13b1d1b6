"""A Ray for one run: on this machine alone, without telemetry, and gone when the run ends."""

import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

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


def require_ray() -> None:
    """Check that Ray Data is installed.

    Raises:
        EngineError: it is not installed; the message says what to install.
    """
    if find_spec("ray") is None or find_spec("pandas") is None:  # without pandas there is no ray.data
        raise EngineError(f"Ray is not installed; run: {installing('ray')}")


@contextmanager
def local_ray(workers: int, *, gpu: bool) -> Iterator[Path]:
    """Start Ray for a number of workers. At the end of the block, end it with all its processes.

    Args:
        workers: actors that run at the same time. Each counts as one CPU, however many threads it has.
        gpu: whether each actor needs a GPU.

    Yields a folder for this run, which is removed at the end of the block.

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
            with silent():  # Ray's native library prints its log settings
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
                f"Ray {ray.__version__} does not start ({reason}); check that memory and /dev/shm are not full, and "
                f"run the command again"
            ) from None
        for number, handler in handlers.items():  # Ray replaced them with its own
            signal.signal(number, handler)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield folder
    finally:
        ray.shutdown()
        watch.communicate()
        del os.environ[guard.MARK]
