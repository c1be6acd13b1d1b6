"""A Ray cluster of three nodes and an S3 service, both real, and on loopback alone.

The cluster is held by a process of its own: Ray ends a process that still asks a cluster a minute after that is gone.
"""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
"""Of the nodes. Ray takes 127.0.0.1 for the machine's own address, and would look for the cluster there."""
_QUICK = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
}
BUCKET = "texts"
KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Nodes:
    """A cluster: a head with Ray's client server, and two nodes with a core each."""

    def __init__(self, holder: ProcessPoolExecutor, work_on_head: bool) -> None:
        self._holder = holder
        head, *others = ADDRESSES
        with socket.create_server((head, 0)) as free:
            port = free.getsockname()[1]
        self.client = f"ray://{head}:{port}"
        options = {"include_dashboard": False, "ray_client_server_port": port, "_system_config": _QUICK}
        self._add(head, num_cpus=int(work_on_head), **options)
        for address in others:
            self.add(address)
        self.address: str = self._holder.submit(_whole).result()

    def add(self, address: str, cpus: int = 1) -> None:
        self._add(address, num_cpus=cpus, wait=False)

    def _add(self, address: str, **options: Any) -> None:
        memory = 100 << 20
        options |= {"node_ip_address": address, "num_gpus": 0, "object_store_memory": memory}
        self._holder.submit(_add_node, options).result()

    def kill(self, address: str) -> None:
        """End a node as a power cut does."""
        for process in self._processes(address):
            os.kill(process, signal.SIGKILL)

    def workers(self, address: str) -> int:
        """Engines that run on a node."""
        nodes, found = self._processes(address), 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                found += parent in nodes and (process / "cmdline").read_bytes().startswith(b"ray::PartitionEmbedder")
        return found

    def _processes(self, address: str) -> set[int]:
        return self._holder.submit(_processes_of, address).result()


@cache
def _held() -> Any:
    """The cluster of this process."""
    from ray.cluster_utils import Cluster

    return Cluster()


def _add_node(options: dict[str, Any]) -> None:
    _held().add_node(**options)


def _whole() -> str:
    _held().wait_for_nodes()
    return str(_held().address)


def _processes_of(address: str) -> set[int]:
    (node,) = [node for node in _held().list_all_nodes() if node.node_ip_address == address]
    return {found.process.pid for processes in node.all_processes.values() for found in processes}


def _end() -> None:
    _held().shutdown()


@contextmanager
def cluster(*, work_on_head: bool = False) -> Iterator[Nodes]:
    """Start a cluster, and end it with all its processes."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as holder:
        try:
            yield Nodes(holder, work_on_head)
        finally:
            holder.submit(_end).result()


@contextmanager
def bucket() -> Iterator[str]:
    """Start an S3 service with an empty bucket, named in this process's environment. Yields the bucket's URI."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    before = dict(os.environ)
    server.start()
    try:
        host, port = server.get_host_and_port()
        os.environ |= {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        # All of moto's servers in a process have the same buckets.
        with urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")):
            s3fs.S3FileSystem().mkdir(BUCKET)
        yield f"s3://{BUCKET}"
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)
