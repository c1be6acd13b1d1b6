"""Composes the site's folder.

    index.html, sw.js       the page, and what keeps it for use without a network
    app/HASH/               scripts, styles, libraries, settings.json
    files/NAME.HASH.gz      graph, tokenizer, runtimes: compressed here, decompressed in the page, so no server needs to
    LICENSES.txt

Addresses hold hashes, so that a browser never mixes files of two versions, and loads again only what has changed.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from lam_engines.bundles.whole import FolderKind
from lam_engines.contract import INPUTS, INT8_MODEL, SENTENCE_EMBEDDING, TOKENIZER
from lam_engines.errors import LamError
from lam_engines.progress import Progress

from .packages import INSIDE_UMAP, ONNXRUNTIME_WEB, PAPAPARSE, TOKENIZERS, UMAP, read_package

LEAST_COSINE = 0.998
"""Smallest cosine between a probe's embedding in the browser and the engine's. See docs/web.md."""
_RUNTIMES = {
    "wasm": ("ort.wasm.bundle.min", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.jspi.bundle.min", "ort-wasm-simd-threaded.jspi.wasm"),
}
"""Builds of ONNX Runtime: script and binary. A browser loads one of them. Of those with WebGPU, that with JSPI is the
smallest."""
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
"""The page's content security policy. A worker has that of its own response: its server's, or the service worker's."""
_LIBRARIES = (
    (TOKENIZERS, "dist/tokenizers.min.mjs", "tokenizers.js"),
    (PAPAPARSE, "papaparse.min.js", "papaparse.js"),
    (UMAP, "lib/umap-js.min.js", "umap.js"),
)
"""The other libraries: package, file in it, and name in the site."""
_NOTICES = ("LICENSE", "ThirdPartyNotices.txt")
"""Of ONNX Runtime. Its npm package lacks them, its Python package has them."""


class SiteError(LamError):
    """A site cannot be written."""


SITE = FolderKind(
    "site of lam-export web",
    "choose another place: -o SITE",
    lambda path: (path / "sw.js").is_file() and (path / "app").is_dir(),
    SiteError,
)


@dataclass(frozen=True)
class Probe:
    """A text with what the page must compute for it before it may be used."""

    text: str
    ids: list[int]
    embedding: list[float]


def write_site(
    draft: Path,
    *,
    title: str,
    facts: str,
    graph: bytes,
    tokenizer: bytes,
    probes: Sequence[Probe],
    pad: int,
    progress: Progress,
) -> int:
    """Write the site into an empty folder.

    Args:
        draft: the folder.
        title: heading of the page.
        facts: a sentence about the model, for the foot of the page.
        graph: the int8 graph.
        tokenizer: the tokenizer, as JSON.
        probes: texts by which the page checks the browser. The last one is long.
        pad: the id that fills up shorter texts in a batch.
        progress: told of each step.

    Returns:
        The largest number of bytes that a first visit downloads, from a server that compresses text.

    Raises:
        LamError: a library cannot be had.
    """
    app, binaries, licences = _libraries(progress)
    app |= {file.name: file.read_bytes() for file in (files(__package__) / "templates").iterdir()}
    page, keeper = (Template(app.pop(name).decode()) for name in ("index.html", "sw.js"))

    progress.begin("compressing", 2 + len(binaries))
    (draft / "files").mkdir()

    def packed(name: str, content: bytes) -> dict[str, str | int]:
        place = draft / "files" / f"{name}.{_hash(content)}.gz"
        place.write_bytes(_gzip(content))
        progress.advance(1)
        return {"url": f"../../files/{place.name}", "bytes": place.stat().st_size}

    runtimes = {
        kind: {"script": f"./{script}.js", "binary": packed(name, binaries[name])}
        for kind, (script, name) in _RUNTIMES.items()
    }
    spared = min(place.stat().st_size for place in (draft / "files").iterdir())  # a browser loads one build
    settings = {
        "model": packed(INT8_MODEL, graph),
        "tokenizer": packed(TOKENIZER, tokenizer),
        "runtimes": runtimes,
        "inputs": INPUTS,
        "output": SENTENCE_EMBEDDING,
        "hidden": len(probes[0].embedding),
        "pad": pad,
        "probes": [asdict(probe) for probe in probes],
        "leastCosine": LEAST_COSINE,
    }
    icon = {"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}
    manifest = {"name": title, "start_url": "../../", "scope": "../../", "display": "standalone", "icons": [icon]}
    app |= {"settings.json": _json(settings), "manifest.webmanifest": _json(manifest)}
    address = "app/" + _hash(b"".join(f"{name}\0{_hash(app[name])}\0".encode() for name in sorted(app)))
    (draft / address).mkdir(parents=True)
    for name, content in app.items():
        (draft / address / name).write_bytes(content)

    facts = f"{facts} ONNX Runtime Web {ONNXRUNTIME_WEB.version}, in this browser."
    html = page.substitute(title=escape(title), app=address, facts=escape(facts), policy=POLICY).encode()
    (draft / "index.html").write_bytes(html)
    builds = {f"{script}.js" for script, _ in _RUNTIMES.values()}  # the worker keeps the one that it loads
    small = ["./", *(f"{address}/{name}" for name in sorted(app.keys() - builds))]
    archives = sorted((draft / "files").iterdir())
    large = [*(f"{address}/{name}" for name in sorted(builds)), *(f"files/{place.name}" for place in archives)]
    keeps = {"version": _hash(html), "policy": POLICY, "small": json.dumps(small), "large": json.dumps(large)}
    (draft / "sw.js").write_text(keeper.substitute(keeps), encoding="utf-8")
    rule = b"\n\n" + b"=" * 78 + b"\n"
    (draft / "LICENSES.txt").write_bytes(rule.join(f"{name}\n\n".encode() + text for name, text in licences.items()))

    scripts = sum(len(_gzip(content)) for content in (html, *app.values()))
    return scripts + sum(place.stat().st_size for place in archives) - spared


def _libraries(progress: Progress) -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
    """Scripts by their names in the site, the runtimes' binaries, and the licences by their libraries."""
    progress.begin("fetching the libraries", 1 + len(_LIBRARIES) + len(INSIDE_UMAP))
    licences = {f"ONNX Runtime Web {ONNXRUNTIME_WEB.version}": _runtime_notices()}
    wanted = [f"dist/{name}" for script, binary in _RUNTIMES.values() for name in (f"{script}.mjs", binary)]
    runtime = read_package(ONNXRUNTIME_WEB, wanted)
    progress.advance(1)
    scripts = {f"{script}.js": runtime[f"dist/{script}.mjs"] for script, _ in _RUNTIMES.values()}
    for package, file, name in _LIBRARIES:
        content = read_package(package, [file, "LICENSE"])
        scripts[name] = content[file]
        licences[f"{package.name} {package.version}"] = content["LICENSE"]
        progress.advance(1)
    for package in INSIDE_UMAP:
        licences[f"{package.name}, inside {UMAP.name}"] = read_package(package, ["LICENSE"])["LICENSE"]
        progress.advance(1)
    return scripts, {binary: runtime[f"dist/{binary}"] for _, binary in _RUNTIMES.values()}, licences


def _runtime_notices() -> bytes:
    spec = find_spec("onnxruntime")
    places = [Path(spec.origin).parent / name for name in _NOTICES] if spec and spec.origin else []
    if not places or not all(place.is_file() for place in places):
        raise LamError(
            f"expected ONNX Runtime's {' and '.join(_NOTICES)} in its Python package, for the site's licences, found "
            f"none; install it from PyPI: pip install --force-reinstall onnxruntime"
        )
    return b"\n\n".join(place.read_bytes() for place in places)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16, memLevel=9)  # gzip, with more memory than its module takes
    return packer.compress(content) + packer.flush()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
