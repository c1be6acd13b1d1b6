"""The site: built strictly, and whole without the network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, name_of

import lam_export

pytestmark = pytest.mark.needs("mkdocs", "mkdocstrings", "material")

# What a browser fetches by itself, when a page is shown.
_FETCHED = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc="(https?:)?//|<link[^>]*\shref="(https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) == len(PAGES) + 1, "and the page that says 404"


def test_nothing_is_fetched_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not (found := _FETCHED.search(page.read_text(encoding="utf-8"))), (page, found)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_the_reference_has_what_users_call(site: Path) -> None:
    anchors = {path.stem: set(re.findall(r'id="(lam_[\w.]+)"', path.read_text())) for path in site.glob("reference/*")}
    assert {
        "lam_engines.load_engine",
        "lam_engines.embedding.engine.EmbeddingEngine.embed",
        "lam_engines.memories.engine.MemoryEngine.store",
        "lam_engines.serving.client.EmbeddingClient.embed",
        "lam_engines.errors.BundleError",
    } <= anchors["lam_engines"]
    published = {f"lam_export.{name}" for name in lam_export.__all__ if name != "__version__"}
    assert published <= anchors["lam_export"]
    text = (site / "reference" / "lam_engines.html").read_text(encoding="utf-8")
    assert ":meth:" not in text
    assert "unit length" in text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere_in_the_repository(page: Path) -> None:
    text = re.sub(r"^( *```).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
