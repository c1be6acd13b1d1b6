"""Sites of ``lam-export web``: built, served, and used as a visitor uses them."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import chromium
import pytest

from lam_engines.errors import LamError
from lam_export.pipelines.build_site import Site, build_site

PATIENCE = 120
"""Seconds to wait for the page: the machine may be loaded."""
READY = "document.getElementById('status').className === 'ready'"
MAPPED = "/^[0-9,]+ texts?$/.test(document.getElementById('map-state').textContent)"
ALERT = "!document.getElementById('alert').hidden && document.getElementById('alert').textContent"
HITS = """[...document.querySelectorAll('#hits button')].map((button) =>
    [button.querySelector('.text').textContent, Number(button.querySelector('.score').textContent)])"""


def built(bundle: Path, site: Path, title: str | None = None) -> Site:
    """Build a site. The test is skipped if npm's registry is not reachable."""
    try:
        return build_site(bundle, site, title=title)
    except LamError as error:
        try:
            urlopen("https://registry.npmjs.org/papaparse", timeout=20).close()
        except OSError as unreachable:
            pytest.skip(f"npm's registry is not reachable ({unreachable}): {error}")
        raise


class Served:
    """What a server of a site did."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sent: dict[str, int] = {}
        """Bytes sent, by path."""
        self.failed: list[str] = []


@contextmanager
def served(site: Path) -> Iterator[Served]:
    """Serve a folder as ``python -m http.server`` does."""
    seen = Served("")

    class Handler(SimpleHTTPRequestHandler):
        def copyfile(self, source: Any, outputfile: Any) -> None:
            content = source.read()
            seen.sent[self.path] = seen.sent.get(self.path, 0) + len(content)
            outputfile.write(content)

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            if int(code) >= 400:
                seen.failed.append(self.path)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site))) as server:
        seen.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


def wait(page: chromium.Page, condition: str) -> Any:
    """The first value of an expression that counts as true."""
    until = time.monotonic() + PATIENCE
    while not (value := page.evaluate(condition)):
        if time.monotonic() > until:
            said = page.evaluate("document.body.innerText.slice(0, 300)")
            raise TimeoutError(f"{condition} did not become true; the page says {said!r}, {page.complaints}")
        time.sleep(0.05)
    return value


def complaints(page: chromium.Page) -> list[str]:
    """What the page complained of. That there is no GPU is a note of Chromium's own."""
    return [complaint for complaint in page.complaints if complaint != "No available adapters."]


def enter(page: chromium.Page, field: str, text: str) -> None:
    """Put a text into a field, as pasting does."""
    page.evaluate(f"""(() => {{
        const field = document.getElementById({json.dumps(field)});
        field.value = {json.dumps(text)};
        field.dispatchEvent(new Event("input"));
    }})()""")


def paste(page: chromium.Page, texts: list[str]) -> None:
    """Replace the texts, and wait until the page has embedded them all."""
    enter(page, "texts", "\n".join(texts))
    wait(page, f"document.getElementById('count').textContent.startsWith('{len(texts):,} text')")
    wait(page, "document.getElementById('embedding').value === 1")


def hits(page: chromium.Page, query: str) -> list[tuple[str, float]]:
    """The texts found for a query, with their scores."""
    enter(page, "query", "")
    enter(page, "query", query)
    wait(page, f"{HITS}.length")
    return [(text, score) for text, score in page.evaluate(HITS)]


def open_file(page: chromium.Page, name: str, content: bytes) -> None:
    """Choose a file in the page's dialogue."""
    page.evaluate(f"""(() => {{
        const chosen = new DataTransfer();
        chosen.items.add(new File([new Uint8Array({list(content)})], {json.dumps(name)}));
        const field = document.getElementById("file");
        field.files = chosen.files;
        field.dispatchEvent(new Event("change"));
    }})()""")
