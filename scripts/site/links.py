"""MkDocs hook: pages that lie outside docs/, and links that lead there.

Links in Markdown are relative to the file that they stand in, so that they work in an editor and on a forge. In the
site a link to one of :data:`PAGES` leads to its page, and a link to any other file of the repository to a copy of it.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/results/cpu_goals.md": "cpu_goals.md",
    "benchmarks/results/cpu_long_texts.md": "cpu_long_texts.md",
    "benchmarks/results/cpu_two_threads.md": "cpu_two_threads.md",
    "benchmarks/results/gpu_nvidia_h200.md": "gpu_nvidia_h200.md",
    "benchmarks/results/serving.md": "serving_figures.md",
    "engines/cpp/README.md": "cpp-code.md",
    "examples/README.md": "examples.md",
    "lam_export/demo/README.md": "demo.md",
    "plugins/lam_plugins/dual_state_delta_rule/README.md": "operators/dual_state_delta_rule.md",
    "plugins/lam_plugins/fused_delta_rule/README.md": "operators/fused_delta_rule.md",
    "plugins/lam_plugins/memory_step/README.md": "operators/memory_step.md",
}
"""File of the repository to page of the site."""

_COPIES = "files"
"""The site's folder of files that pages link to."""
_LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(#[^)\s]*)?(?=\))")
_CODE = re.compile(r"^( *```).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_SOURCES = {page: source for source, page in PAGES.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside, and a copy of every file that any page links to."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for file in list(files.documentation_pages()):
        for target in _LINK.finditer(_without_code(Path(str(file.abs_src_path)).read_text(encoding="utf-8"))):
            place = _place(_source(file.src_uri), target[1])
            if place.startswith(f"{_COPIES}/") and files.get_file_from_path(place) is None:
                original = ROOT / place.removeprefix(f"{_COPIES}/")
                files.append(File.generated(config, place, abs_src_path=str(original)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between files of the site."""
    source, folder = _source(page.file.src_uri), posixpath.dirname(page.file.src_uri)

    def rewritten(link: re.Match[str]) -> str:
        return posixpath.relpath(_place(source, link[1]), folder or ".") + (link[2] or "")

    plain, position = [], 0
    for code in _CODE.finditer(markdown):
        plain += [_LINK.sub(rewritten, markdown[position : code.start()]), code[0]]
        position = code.end()
    return "".join([*plain, _LINK.sub(rewritten, markdown[position:])])


def _source(uri: str) -> str:
    """The file of the repository that a page of the site is made from."""
    return _SOURCES.get(uri, f"docs/{uri}")


def _place(source: str, target: str) -> str:
    """Where in the site the target of a link lies, which stands in the file ``source`` of the repository."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if not (ROOT / path).is_file():
        raise PluginError(f"{source}: expected a file that the link ({target}) leads to, found none at {path}")
    if path in PAGES:
        return PAGES[path]
    if path.endswith(".md") and not path.startswith("docs/"):
        raise PluginError(f"{source}: {path} is no page of the site yet; add it to PAGES in scripts/site/links.py")
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{_COPIES}/{path}"


def _without_code(markdown: str) -> str:
    return _CODE.sub("", markdown)
