"""A server of the tiny bundle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lam_engines.serving.http import HttpOptions, HttpServer


@pytest.fixture(scope="package")
def server(tiny_bundle: Path) -> Iterator[HttpServer]:
    with HttpServer([tiny_bundle], HttpOptions(port=0, read_timeout=2)) as server:
        yield server
