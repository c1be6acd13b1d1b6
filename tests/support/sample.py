"""A report made by hand: two candidates, the second of which fails, and texts that try to break out of the page."""

import math
import random
from statistics import fmean

from lam_export.evidence.schema import Scores, Sts, SubjectInfo
from lam_export.validate.report.schema import (
    Bucket,
    Check,
    Comparison,
    Neighbours,
    PartError,
    Report,
    Series,
    Stability,
    TextRow,
)

TEXTS, PAIRS, LAYERS = 300, 200, 6
PARTS = ("mixer_in", "form", "mixer_out", "mixer_norm", "ffn_in", "ffn_out", "ffn_norm")
LANGUAGES = ("en", "de", "fr", "zh", "ar", "ja")
KINDS = ("prose", "code", "numbers", "repeated", "emoji")
LENGTHS = ("1 to 16", "17 to 64", "65 to 256", "257 to 2,000")

HOSTILE = (
    "</script><script>document.title = 'taken'</script><img src=https://example.org/x onerror=alert(1)>",
    "| a pipe | `ticks` \\| **bold** [red]markup[/] [link=https://example.org]x[/link] @someone #1",
    "two\nlines\r\n\ttabs \x00 nul \x1b[31mred\x1b[0m bell \x07",
    "\u202eright to left override \u2066isolate; مرحبا بالعالم، كيف حالك اليوم؟",
    "a lone surrogate \ud83d, a family \U0001f468\u200d\U0001f469\u200d\U0001f467, {{ 7 * 7 }} {% raw %}",
    "W" * 200,
    "机器学习模型的嵌入向量应当与参考实现保持一致，无论批次如何组成。",
    "'\"><svg onload=alert(1)> &amp; &lt;b&gt; --> ]]> ${1 + 1} </style>",
)
PLAIN = (
    "A woman is slicing a tomato.",
    "The central bank left its rates unchanged on Thursday.",
    "def embed(texts): return normalise(encoder(tokenise(texts)))",
    "Der Zug nach Lüneburg fährt heute von Gleis 7.",
    "3.14159 2.71828 1.41421 1.73205",
    "buffalo buffalo buffalo buffalo buffalo buffalo buffalo buffalo",
)


def report() -> Report:
    """The same every time."""
    random_ = random.Random(0)
    comparisons = (_comparison(random_, "fp32", 3e-7), _comparison(random_, "fp16", 6e-3))
    return Report(
        report_version=1,
        passed=False,
        created="2026-01-15T09:30:00Z",
        bundle="demo-<b>bundle</b>",
        manifest_sha256="1f" * 32,
        checkpoint_sha256="2e" * 32,
        texts=TEXTS,
        texts_sha256="3d" * 32,
        starts=tuple(_text(i)[:60] for i in range(TEXTS)),
        sources=("built-in", "reviews & more.txt"),
        tools={"lam-export": "0.1.0", "torch": "2.13.0", "onnxruntime": "1.31.1", "numpy": "2.4.6"},
        machine="x86-64, 2 cores, Linux 6.1",
        comparisons=comparisons,
    )


def _text(i: int) -> str:
    return HOSTILE[i // 7 % len(HOSTILE)] if i % 7 == 0 else f"{PLAIN[i % len(PLAIN)]} ({i})"


def _comparison(random_: random.Random, precision: str, error: float) -> Comparison:
    tokens = [max(1, round(10 ** random_.uniform(0, 3.3))) for _ in range(TEXTS)]
    rms = [error * (1 + 0.3 * math.log10(n)) * 10 ** random_.gauss(0, 0.15) for n in tokens]
    if precision == "fp16":
        rms[7], rms[21], rms[28] = 0.058, 0.045, 0.036
    cosines = [1 - x * x / 2 for x in rms]
    rows = sorted(
        (
            TextRow(
                text=_text(i)[:200],
                kind=KINDS[i % len(KINDS)],
                language=LANGUAGES[i % len(LANGUAGES)],
                tokens=tokens[i],
                max_abs=rms[i] / 5,
                relative_rms=rms[i],
                cosine=cosines[i],
            )
            for i in range(TEXTS)
        ),
        key=lambda row: row.cosine,
    )
    threshold = 0.999999 if precision == "fp32" else 0.9995
    sts = _sts(random_, error)
    gold = [round(random_.uniform(0, 5), 1) for _ in range(PAIRS)]
    old = [min(1.0, max(-0.1, score / 5.5 + random_.gauss(0, 0.12))) for score in gold]
    checks = (
        _check("cosine", "at least", threshold, rows[0].cosine, _said(rows[0], threshold)),
        _check("sts_difference", "at most", 0.001, abs(sts.spearman.difference), "Spearman, 200 pairs"),
        _check("recall_at_10", "at least", 0.99, 0.9967, "300 texts"),
        _check("stability", "at least", 0.99999, 0.9999997, "padded beside a text of 2,000 tokens"),
    )
    artefact = "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"
    return Comparison(
        reference=SubjectInfo(
            name="PyTorch float64",
            model="this",
            precision="fp64",
            runtime="torch 2.13.0",
            artefact="student.safetensors",
            sha256="2e" * 32,
            bytes=94_300_000,
        ),
        candidate=SubjectInfo(
            name=f"ONNX Runtime {artefact}",
            model="this",
            precision=precision,
            runtime="onnxruntime 1.31.1",
            artefact=artefact,
            sha256=("4c" if precision == "fp32" else "5b") * 32,
            bytes=94_423_511 if precision == "fp32" else 47_712_008,
        ),
        texts=TEXTS,
        nan=0,
        inf=0,
        max_abs=max(row.max_abs for row in rows),
        relative_rms=max(rms),
        cosine=rows[0].cosine,
        mean_cosine=fmean(cosines),
        worst=tuple(rows[:20]),
        buckets=tuple(_buckets(rows)),
        parts=tuple(_parts(random_, error, suspect=precision == "fp16")),
        neighbours=Neighbours(corpus=TEXTS, recall_at_1=1.0 if precision == "fp32" else 0.99, recall_at_10=0.9967),
        sts=sts,
        stability=Stability(
            texts=24,
            batch_cosine=1 - 2e-13,
            padding_cosine=0.9999997,
            neighbours_cosine=1.0,
            worst_text=HOSTILE[0],
            runs=3,
            runs_max_abs=0.0,
        ),
        seconds=41.27,
        checks=checks,
        series=Series(
            tokens=tuple(tokens),
            max_abs=tuple(x / 5 for x in rms),
            relative_rms=tuple(rms),
            cosine=tuple(cosines),
            sts_gold=tuple(gold),
            sts_reference=tuple(old),
            sts_candidate=tuple(score + random_.gauss(0, error / 2) for score in old),
        ),
    )


def _said(row: TextRow, threshold: float) -> str:
    apart = f"is below {threshold:g}" if row.cosine < threshold else f"holds {threshold:g}"
    return f"cosine {row.cosine:.4g} {apart} on {row.text[:60]!r}"


def _check(name: str, holds_if: str, threshold: float, found: float, detail: str) -> Check:
    passed = found >= threshold if holds_if == "at least" else found <= threshold
    return Check(name=name, holds_if=holds_if, threshold=threshold, found=found, passed=passed, detail=detail)


def _sts(random_: random.Random, error: float) -> Sts:
    def correlation(value: float) -> Scores:
        moved = random_.gauss(0, error / 50)
        return Scores(
            reference=value,
            candidate=value + moved,
            difference=moved,
            low=moved - error / 40,
            high=moved + error / 40,
        )

    return Sts(pairs=PAIRS, spearman=correlation(0.8203), pearson=correlation(0.8279))


def _parts(random_: random.Random, error: float, *, suspect: bool) -> list[PartError]:
    parts, total = [], 0.0
    for name in ("embeddings", *(f"layers.{i}.{part}" for i in range(LAYERS) for part in PARTS)):
        bad = suspect and name == "layers.3.form"
        own = error * (8 if bad else 0.1 * 10 ** random_.gauss(0, 0.2))
        total = math.hypot(total, own)
        parts.append(PartError(part=name, total=total, own=own, suspect=bad))
    return parts


def _buckets(rows: list[TextRow]) -> list[Bucket]:
    def length(row: TextRow) -> str:
        return LENGTHS[(row.tokens > 16) + (row.tokens > 64) + (row.tokens > 256)]

    buckets = []
    for by, names, key in (
        ("length", LENGTHS, length),
        ("language", LANGUAGES, lambda row: row.language),
        ("kind", KINDS, lambda row: row.kind),
    ):
        for name in names:
            inside = [row for row in rows if key(row) == name]
            buckets.append(
                Bucket(
                    by=by,
                    name=name,
                    texts=len(inside),
                    worst_max_abs=max(row.max_abs for row in inside),
                    worst_relative_rms=max(row.relative_rms for row in inside),
                    worst_cosine=min(row.cosine for row in inside),
                    mean_cosine=fmean(row.cosine for row in inside),
                )
            )
    return buckets
