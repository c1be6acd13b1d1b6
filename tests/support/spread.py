"""How the tests are spread over processes: those of a file stay together, and so do files that share what is dear."""

from typing import Any

TOGETHER = {
    "server": (
        "tests/benchmarks/test_serving_load.py",
        "tests/cli/test_serve_triton.py",
        "tests/engines/serving/test_deployment_probe.py",
        "tests/engines/serving/test_triton_client.py",
        "tests/engines/serving/triton/test_asked_network.py",
        "tests/engines/serving/triton/test_serve",
    ),
    "demo": (
        "tests/bench/profile/test_profile_sources.py",
        "tests/export/test_int8.py",
        "tests/export/test_web_page.py",
        "tests/fuzz/test_fuzz_texts.py",
        "tests/validate/test_demo_parity.py",
    ),
}
"""Files (how their paths begin) that use one server of Triton, or one bundle of the demo model."""
FIRST = (
    "server",
    "tests/docs/test_pages.py",
    "demo",
    "tests/cpp",
    "tests/examples",
    "tests/cli",
    "tests/plugins",
    "tests/contract",
    "tests/engines/bulk",
)
"""What takes longest begins first, so that no process is left with it at the end."""


def group(path: str) -> str:
    """What a file's tests stay together with: a name of :data:`TOGETHER`, or the file alone."""
    return next((name for name, paths in TOGETHER.items() if path.startswith(paths)), path)


def rank(path: str) -> int:
    """The place in the order in which groups begin."""
    name = group(path)
    return next((i for i, first in enumerate(FIRST) if name.startswith(first)), len(FIRST))


def scheduler(config: Any, log: Any) -> Any:
    """Of pytest-xdist: gives a process one group after the other."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid.split("::")[0])

    return Groups(config, log)
