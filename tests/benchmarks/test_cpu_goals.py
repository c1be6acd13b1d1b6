"""``benchmarks/cpu_goals.py``: its page. It runs ``lam-export bench``, which has tests of its own."""

from cpu_goals import BF16, LONG_TEXT, MINILM, ONNX_RUNTIME, UNIT, goals_page, long_texts

from lam_export.bench.speed.schema import ProcessMemory, SpeedResult, Times


def _result(subject: str, shape: str, seconds: tuple[float, ...], tokens: int) -> tuple[tuple[str, str], SpeedResult]:
    middle = sorted(seconds)[len(seconds) // 2]
    times = Times(
        seconds=seconds,
        median=middle,
        quartiles=(min(seconds), max(seconds)),
        tokens_per_second=tokens / middle,
        times_as_fast={},
    )
    return (subject, shape), SpeedResult(
        subject=subject,
        shape=shape,
        status="measured",
        note="",
        max_abs=None,
        cosine=None,
        times=times,
        memory=ProcessMemory(loaded=1, peak=7 * 10**8),
    )


def test_ratios_of_what_was_measured() -> None:
    ours = _result(BF16, "1 x 16", (1.0, 1.0, 1.0), 16)
    theirs = _result(f"{MINILM} bf16", "1 x 16", (1.0, 2.0, 3.0), 16)
    page = goals_page(dict([ours, theirs]))
    assert page.splitlines()[2:] == [f"| {BF16} | {MINILM} bf16 | 1 x 16 | 2.00 | 1.50-2.50 | 1.0 |"]
    assert len(goals_page(dict([ours, _result(ONNX_RUNTIME, "32 x 32", (1.0,), 1)])).splitlines()) == 2


def test_long_texts() -> None:
    found = dict([_result(BF16, LONG_TEXT, (10.0,), 65_536), _result(BF16, UNIT, (0.5,), 4_096)])
    assert long_texts(found).splitlines() == [
        f"| {BF16} | itself at {UNIT} | {LONG_TEXT} | 0.80 | | 0.9 |",
        f"| {BF16} | 1,000 MB at most | {LONG_TEXT} | 700 MB | | |",
    ]
