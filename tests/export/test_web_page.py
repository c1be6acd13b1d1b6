"""The site of ``lam-export web`` in a real browser, from a plain server on loopback."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import chromium
import numpy as np
import pytest
import websites
from websites import ALERT, HITS, MAPPED, READY, complaints, enter, hits, open_file, paste, wait

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.tokenizer import tokenizer_of
from lam_export.evidence.corpus import builtin_texts
from lam_export.pipelines.build_site import Site
from lam_export.pipelines.export_onnx import export_onnx

pytestmark = [pytest.mark.browser, pytest.mark.demo, pytest.mark.needs("chromium")]

MARGIN = 0.01
"""Difference of two scores below which their order may differ. int8 embeddings of different kernels differ by up to
5e-3 in a value; scores were seen to differ by 4e-3."""
FIRST_VISIT = 26e6
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, demo_bundle: Path) -> Site:
    return websites.built(demo_bundle, tmp_path_factory.mktemp("site") / "site", "Search <b>texts</b>")


@pytest.fixture(scope="module")
def site(built: Site) -> Path:
    return built.path


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[websites.Served]:
    with websites.served(site) as server:
        yield server


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("profile"), network=True) as page:
        yield page


@pytest.fixture(scope="module")
def ready(page: chromium.Page, server: websites.Served) -> chromium.Page:
    page.open(server.url, width=1200)
    wait(page, READY)
    return page


def test_the_first_visit(ready: chromium.Page, server: websites.Served, built: Site) -> None:
    assert built.first_visit <= FIRST_VISIT  # with the larger of the two runtimes
    wait(ready, MAPPED)
    wait(ready, "navigator.serviceWorker.controller !== null")
    assert sum(server.sent.values()) <= FIRST_VISIT
    assert server.failed == []
    assert all(url.startswith((server.url, "blob:")) for url in ready.requests)
    assert ready.evaluate("document.querySelector('h1').textContent") == "Search <b>texts</b>"
    (found, _), *_ = hits(ready, "Rent a place to keep my suitcase")
    assert found == "Where can I leave my luggage for a few hours?"
    assert complaints(ready) == []


def test_the_ranking_is_the_engines(ready: chromium.Page, demo_bundle: Path) -> None:
    lines = {case.text for case in builtin_texts() if case.text.strip() == case.text and case.text.isprintable()}
    texts = sorted(lines - {""}, key=len)[:200]
    queries = [
        "The parcel did not arrive",
        "unemployment",
        "Wie wird das Wetter?",
        "a long walk with the dog",
        "HTTP error",
    ]
    assert len(texts) == 200
    paste(ready, texts)
    with load_engine(demo_bundle, precision="int8") as engine:
        vectors, asked = engine.embed(texts), engine.embed(queries)
    for query, scores in zip(queries, asked @ vectors.T, strict=True):
        found = hits(ready, query)
        assert len(found) == 50
        expected = dict(zip(texts, scores.tolist(), strict=True))
        ranked = np.array([expected[text] for text, _ in found])
        assert np.abs(ranked - [score for _, score in found]).max() < MARGIN
        assert (ranked[:-1] - np.maximum.accumulate(ranked[::-1])[::-1][1:] > -MARGIN).all()  # none after is far better
        left_out = [score for text, score in expected.items() if text not in dict(found)]
        assert max(left_out) < ranked.min() + MARGIN
    assert complaints(ready) == []


def test_the_tokens_are_the_engines(ready: chromium.Page, demo_bundle: Path) -> None:
    texts = [case.text for case in builtin_texts()]
    texts += [
        "",
        " \t\n",
        "[CLS] a [SEP] [MASK]x",
        "x" * 100,
        "x" * 101,
        "İstanbul ẞ ß ſ ǅ ﬁ ①",
        "e\u0301 \u200b\u200d\ufeffa",
    ]
    texts += [
        "a\x00b\x7fc\ufffd\u00ad",
        "👩‍👩‍👧 🇩🇪 ★",
        "東京タワー한국어",
        "…—“”‘’$+<=>^`|~",
        "\u2028\u3000\u00a0\x85\x1f",
        "𐐀 𝒜",
    ]
    ids = ready.evaluate(f"""(async () => {{
        const app = document.querySelector("link[rel=stylesheet]").href;
        const {{ Tokenizer }} = await import(new URL("tokenizers.js", app));
        const settings = await (await fetch(new URL("settings.json", app))).json();
        const packed = (await fetch(new URL(settings.tokenizer.url, app))).body;
        const content = packed.pipeThrough(new DecompressionStream("gzip"));
        const tokenizer = new Tokenizer(await new Response(content).json(), {{}});
        return {json.dumps(texts)}.map((text) => tokenizer.encode(text).ids);
    }})()""")
    assert ids == [row.tolist() for row in tokenizer_of(Bundle(demo_bundle)).encode(texts)]


def test_typing_and_searching_go_on_while_texts_are_embedded(ready: chromium.Page) -> None:
    texts = [f"Number {i} of many texts <img src=x onerror=alert(1)>" for i in range(2000)]
    enter(ready, "texts", "\n".join(texts))
    wait(ready, "document.getElementById('count').textContent.includes(' of 2,000 texts')")
    (text, _), *_ = hits(ready, "many numbers")
    assert text in texts
    assert ready.evaluate("document.getElementById('count').textContent").split()[1:] == ["of", "2,000", "texts"]
    assert ready.evaluate("document.getElementById('embedding').value") < 1
    enter(ready, "texts", "one text")  # and they are left for others
    wait(ready, MAPPED)
    assert complaints(ready) == []


def test_files(ready: chromium.Page) -> None:
    open_file(ready, "reviews.csv", '\ufeffid;text\n1;"late; but\nfine"\n2;"""never"" again"\n'.encode())
    wait(ready, "document.getElementById('texts').value !== 'one text'")
    assert ready.evaluate("document.getElementById('texts').value") == 'late; but fine\n"never" again'
    ready.evaluate("document.getElementById('column').value = 0")
    ready.evaluate("document.getElementById('column').dispatchEvent(new Event('change'))")
    assert ready.evaluate("document.getElementById('texts').value") == "1\n2"

    open_file(ready, "many.txt", "\n".join(f"line {i}" for i in range(10_003)).encode())
    wait(ready, "document.getElementById('count').textContent.includes('10,000 texts, the first of 10,003')")
    assert ready.evaluate("document.getElementById('column-label').hidden")

    open_file(ready, "latin.txt", "naïve".encode("latin-1"))
    assert wait(ready, ALERT) == "latin.txt is not text in UTF-8. Save it as UTF-8 and open it again."
    open_file(ready, "empty.csv", b"text\n")
    assert "Its first row must name the columns" in wait(ready, f"{ALERT}.includes('empty') && {ALERT}")
    assert complaints(ready) == []


def test_keys(ready: chromium.Page) -> None:
    ready.evaluate("document.getElementById('example').click()")
    wait(ready, MAPPED)
    enter(ready, "query", "")  # what an earlier test asked for is not shown any more
    wait(ready, f"{HITS}.length === 0")
    ready.evaluate("document.activeElement.blur()")
    ready.press("/", 191, "/")
    ready.send("Input.insertText", text="stolen goods")
    wait(ready, f"{HITS}.length")
    ready.press("ArrowDown", 40)
    ready.press("ArrowDown", 40)
    second = ready.evaluate("document.activeElement.querySelector('.text').textContent")
    assert second == ready.evaluate(HITS)[1][0]
    assert not ready.evaluate("document.getElementById('tip').hidden")
    ready.press("Enter", 13, "\r")
    wait(ready, f"{HITS}[0][0] === {json.dumps(second)}")
    assert ready.evaluate(HITS)[0][1] == 1.0
    ready.press("Escape", 27)
    assert ready.evaluate("[document.activeElement.id, document.getElementById('query').value]") == ["query", ""]
    assert complaints(ready) == []


def test_a_dot_searches_for_texts_like_it(ready: chromium.Page) -> None:
    enter(ready, "query", "")
    wait(ready, MAPPED)
    box = ready.evaluate(
        "(({ x, y, width, height }) => [x, y, width, height])(document.querySelector('canvas').getBoundingClientRect())"
    )
    for step in range(4000):
        x, y = box[0] + box[2] * (step % 80) / 80, box[1] + box[3] * (step // 80) / 50
        ready.point(x, y)
        if not ready.evaluate("document.getElementById('tip').hidden"):
            break
    text = ready.evaluate("document.getElementById('tip').textContent")
    for kind in ("mousePressed", "mouseReleased"):
        ready.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    wait(ready, f"{HITS}.length && {HITS}[0][0] === {json.dumps(text)}")


def test_the_policy_refuses_what_is_not_the_pages_own(ready: chromium.Page) -> None:
    ready.evaluate("""new Promise((done) => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'taken'";
        const image = new Image();
        image.onerror = () => fetch("https://example.org/").catch(done);
        image.src = "https://example.org/x.png";
        document.body.append(script, image);
    })""")
    assert ready.evaluate("document.title") == "Search <b>texts</b>"
    assert len([text for text in ready.complaints if "Content Security Policy" in text]) >= 3


def test_a_phone_in_the_dark(page: chromium.Page, server: websites.Served) -> None:
    page.open(server.url, width=360, height=800, dark=True)
    wait(page, READY)
    wait(page, MAPPED)
    assert hits(page, "W" * 100)
    assert page.evaluate("document.scrollingElement.scrollWidth") == 360
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert red + green + blue < 150
    small = """[...document.querySelectorAll("#texts-card button, .button, #hits button")].filter(
        (button) => button.checkVisibility() && button.getBoundingClientRect().height < 36).length"""
    assert page.evaluate(small) == 0  # a finger hits them
    assert page.evaluate("crossOriginIsolated")  # from the second visit on, several threads may compute
    assert complaints(page) == []


def test_the_second_visit_needs_no_network(site: Path, tmp_path: Path) -> None:
    with chromium.page(tmp_path / "profile", network=True) as page:
        with websites.served(site) as server:
            page.open(server.url, width=1200)
            wait(page, READY)
            wait(page, "navigator.serviceWorker.controller !== null")
        page.open(server.url, width=1200)
        wait(page, READY)
        wait(page, MAPPED)
        (found, _), *_ = hits(page, "My luggage")
        assert found == "Where can I leave my luggage for a few hours?"
        assert complaints(page) == []


def test_a_browser_that_computes_something_else_is_refused(site: Path, tmp_path: Path, page: chromium.Page) -> None:
    folder = Path(shutil.copytree(site, tmp_path / "site"))
    (settings,) = folder.glob("app/*/settings.json")
    content = json.loads(settings.read_text())
    content["probes"][0]["embedding"].reverse()
    settings.write_text(json.dumps(content))
    with websites.served(folder) as server:
        page.open(server.url, width=1200)
        assert wait(page, ALERT).startswith("This browser computes other embeddings (cosine ")
        assert page.evaluate("document.getElementById('status').textContent") == "Not ready"


def test_a_file_that_is_missing_is_named(site: Path, tmp_path: Path, page: chromium.Page) -> None:
    folder = Path(shutil.copytree(site, tmp_path / "site"))
    (model,) = folder.glob("files/model.int8.onnx.*.gz")
    model.unlink()
    with websites.served(folder) as server:
        page.open(server.url, width=1200)
        assert wait(page, ALERT) == f"Could not load {model.name}. Check the connection and reload the page."


@pytest.fixture(scope="module")
def tiny_site(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("tiny-site")
    export_onnx(tiny_checkpoint_folder, folder / "bundle", precisions=("int8",))
    return websites.built(folder / "bundle", folder / "site").path


def test_webgpu(tiny_site: Path, tmp_path: Path) -> None:
    """Chromium's own software stands in for a GPU. It is slow, so the address asks for it."""
    texts = ["the old man reads", "a red car", "music in the house", "the dog runs fast"]
    with (
        chromium.page(tmp_path / "profile", *WEBGPU, network=True) as page,
        websites.served(tiny_site) as server,
        load_engine(tiny_site.parent / "bundle", precision="int8") as engine,
    ):
        page.open(f"{server.url}?device=webgpu", width=1200)
        wait(page, READY)
        if not page.evaluate("navigator.gpu && navigator.gpu.requestAdapter().then(Boolean)"):
            pytest.skip("this Chromium has no WebGPU in software")
        wait(page, "document.getElementById('status').title.startsWith('WebGPU is right')")
        paste(page, texts)
        found = dict(hits(page, "the woman reads"))
        assert page.evaluate("document.getElementById('status').textContent") == "Ready, computes on the GPU"
        expected = engine.embed(texts) @ engine.embed(["the woman reads"])[0]
        assert np.abs([found[text] - score for text, score in zip(texts, expected, strict=True)]).max() < MARGIN
        assert complaints(page) == []


def test_a_page_that_is_opened_from_its_folder_says_what_to_do(site: Path, page: chromium.Page) -> None:
    page.open(site / "index.html", width=1200)
    assert wait(page, ALERT).startswith(
        "This page must come from a web server. In its folder run: python -m http.server"
    )
