"""Ahead-of-time builds of the kernel: no GPU, but Triton's real compiler and NVIDIA's real assembler."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from compiled import EVERY_TARGET, Compiled

from lam_plugins import aot
from lam_plugins.aot import TARGETS, CompiledKernel, FusedDeltaRuleBuild, KernelBuildError, compile_kernel
from lam_plugins.aot.ptx import resources, strip_scratch

pytestmark = [pytest.mark.heavy, pytest.mark.needs("triton")]

PUBLISHED = FusedDeltaRuleBuild("sm_90", hidden=384, head_size=32, width=1600, chunk_size=128, variant="rows32")
PARAMETERS = ("projected", "lengths", "conv_weight", "conv_bias", "norm_weight", "blend", "tokens", "heads")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def compiled(cache: Path) -> Compiled:
    """The default variant, of the published model's sizes."""
    return Compiled(lambda target: replace(PUBLISHED, target=target), cache)


def test_published_is_the_default() -> None:
    code = "from lam_plugins.fused_delta_rule import kernel; print(kernel.DEFAULT_VARIANT)"
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=path, check=True)
    assert found.stdout.strip() == PUBLISHED.variant


@EVERY_TARGET
def test_the_default_variant_does_not_spill(compiled: Compiled, target: str) -> None:
    kernel = compiled[target]
    assert kernel.spill_bytes == 0
    assert 0 < kernel.registers <= 255
    assert kernel.threads == 64
    assert 0 < kernel.shared_bytes <= 48 * 1024  # what every GPU gives without being asked


@EVERY_TARGET
def test_ptx_is_for_the_target_and_of_the_pinned_version(compiled: Compiled, target: str) -> None:
    kernel = compiled[target]
    assert f"\n.version {kernel.ptx_version}\n" in kernel.ptx
    assert kernel.ptx_version == "{}.{}".format(*divmod(TARGETS[target], 10))
    assert re.search(rf"\n\.target {target}a?\b", kernel.ptx)
    assert re.search(r"\n\.reqntid 64\b", kernel.ptx)


@EVERY_TARGET
def test_parameters_are_the_sources_own(compiled: Compiled, target: str) -> None:
    kernel = compiled[target]
    entry = re.search(rf"\.visible \.entry {kernel.name}\((.*?)\)", kernel.ptx, re.DOTALL)
    assert entry is not None
    kinds = ["u32" if ".u32" in line else "u64" for line in entry[1].strip().split(",\n")]
    assert kinds == ["u32" if name == "tokens" else "u64" for name in PARAMETERS]


def test_constants(compiled: Compiled) -> None:
    assert compiled["sm_80"].constants == {"HEADS": 12, "HEAD_SIZE": 32, "WIDTH": 1600, "CHUNK": 128, "BLOCK": 32}


def test_what_was_compiled_is_not_compiled_again(
    compiled: Compiled, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, before = replace(PUBLISHED, target="sm_80"), compiled["sm_80"]
    monkeypatch.setattr(aot.subprocess, "run", lambda *a, **k: pytest.fail("compiled again"))
    assert compile_kernel(there, cache) == before


def test_without_a_cache_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[object] = []
    answer = json.dumps(asdict(CompiledKernel("f", "", "8.0", 64, 0, 1, 0, {})))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path))
    monkeypatch.setattr(
        aot.subprocess, "run", lambda *a, **k: runs.append(a) or subprocess.CompletedProcess(a, 0, answer, "")
    )
    for _ in range(2):
        assert compile_kernel(PUBLISHED, None).name == "f"
    assert len(runs) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_broken_cache_entry_is_replaced(compiled: Compiled, cache: Path, tmp_path: Path) -> None:
    before = compiled["sm_120"]
    (entry,) = (p for p in (cache / "kernels").iterdir() if '"8.7"' in p.read_text())  # sm_120's
    broken = tmp_path / "kernels" / entry.name
    broken.parent.mkdir()
    broken.write_text('{"name": ')
    assert compile_kernel(replace(PUBLISHED, target="sm_120"), tmp_path) == before
    assert broken.read_text() == entry.read_text()


def test_unknown_target() -> None:
    with pytest.raises(KernelBuildError, match=r"sm_70.*sm_80, sm_86"):
        compile_kernel(replace(PUBLISHED, target="sm_70"), None)


@pytest.mark.heavy
def test_a_compiler_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(KernelBuildError, match=r"sm_80: ValueError: .*head sizes") as caught:
        compile_kernel(replace(PUBLISHED, target="sm_80", head_size=48), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.heavy
def test_a_compiler_that_aborts_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "sm_100", 10)  # LLVM ends the process
    with pytest.raises(KernelBuildError, match="did not compile for sm_100") as caught:
        compile_kernel(replace(PUBLISHED, target="sm_100"), tmp_path)
    assert "\n" not in str(caught.value)


PTX = """.visible .entry f(
\t.param .u64 f_param_0,
\t.param .u64 f_param_1,
\t.param .u64 f_param_2
)
{
\tld.param.b64 %rd1, [f_param_0];
}
"""


def test_scratch_is_stripped_only_where_it_is_unused() -> None:
    assert strip_scratch(PTX, "f", 1) == PTX.replace(",\n\t.param .u64 f_param_1,\n\t.param .u64 f_param_2", "")
    with pytest.raises(ValueError, match="expected 2 parameters"):
        strip_scratch(PTX, "f", 2)
    with pytest.raises(ValueError, match="scratch pointer 0"):
        strip_scratch(PTX.replace("[f_param_0]", "[f_param_1]"), "f", 1)


def test_spills_are_read_from_the_assemblers_report() -> None:
    log = "16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads\nptxas info : Used 168 registers"
    assert resources(log) == (168, 32)
    with pytest.raises(ValueError, match="no registers"):
        resources("ptxas fatal")
