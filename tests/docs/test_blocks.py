"""Code blocks that are not run: the commands that a reader types exist, with their options; code compiles."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import check_command, options
from pages import PAGES, ROOT, Block, blocks, name_of, programs, prose, typed_commands

EVERY = [block for page in PAGES for block in blocks(page)]
OF_OTHERS = {
    "apt-get", "build/examples/similarity", "build/fuzz/fuzz/lam-fuzz-manifest", "build/tsan/tests/lam-threads-test",
    "cat", "cc", "cd", "cmake", "cosign", "ctest", "curl", "docker", "export", "kubectl", "minisign",
    "pip", "pkg-config", "pre-commit", "sha256sum", "tritonserver",
}  # fmt: skip
"""Programs that these pages name and that are not this repository's, or are made by a build."""
BUILT = ("lam-embed", "engines/cpp/build/release/lam-embed")


ELSEWHERE = {
    "lam_export/demo/README.md": ["scripts/distill_demo.py"],
    "benchmarks/README.md": ["benchmarks", "benchmarks/gpu_evidence"],
    "docs/cpp.md": ["engines/cpp/tool", "engines/cpp/src"],
    "docs/what-has-run.md": ["benchmarks/gpu_evidence"],
}
"""Where else options come from that a page names."""
OF_OTHER_PROGRAMS = {"--shape", "--string-length", "--concurrency-range", "--suppressions", "--wait", "--build"}
OF_OTHER_PROGRAMS |= {"--model-id", "--max-batch-tokens", "--auto-truncate"}  # text-embeddings-inference
"""Options of other people's programs."""


def of(*languages: str) -> list[Block]:
    return [block for block in EVERY if block.language in languages]


def test_every_block_is_of_a_language_that_is_checked() -> None:
    known = ("bash", "python", "console", "pycon", "text", "cpp", "cmake")
    unknown = [str(block) for block in EVERY if block.language not in known]
    assert not unknown, "mark commands as console or bash; indent by four spaces what is no code"


@pytest.mark.parametrize("block", of("console", "bash"), ids=str)
def test_commands_exist(block: Block) -> None:
    lines = [block.code] if block.language == "bash" else list(typed_commands(block.code))
    assert lines, f"expected a line that begins with $ in {block}"
    for line in lines:
        shell = subprocess.run(["bash", "-n"], input=line, capture_output=True, text=True)
        assert shell.returncode == 0, shell.stderr
        if block.language == "bash":  # it is run
            continue
        for program, *arguments in programs(line):
            if program == "lam-export":
                check_command(arguments)
            elif program == "python":
                check_python(arguments)
            elif program.startswith("scripts/"):
                assert (ROOT / program).is_file(), program
            elif program not in (*OF_OTHERS, *BUILT):
                pytest.fail(f"{block}: what is {program}? If it is no program of ours, name it in OF_OTHERS")


def check_python(arguments: list[str]) -> None:
    """A script or module of ours that is there, and whose help or source knows the options."""
    program, *rest = arguments
    if program == "-m":
        module, *rest = rest
        if module.partition(".")[0] in sys.stdlib_module_names:
            return
        found = ROOT / "engines" / module.replace(".", "/") / "__main__.py"
    else:
        found = ROOT / program
    assert found.is_file(), arguments
    source = found.read_text(encoding="utf-8")
    for option in (word for word in rest if word.startswith("--")):
        assert f'"{option}"' in source or f"    {option[2:].replace('-', '_')}: " in source, f"{found} has no {option}"


@pytest.mark.parametrize("block", of("pycon"), ids=str)
def test_code_of_a_session_compiles_and_imports(block: Block) -> None:
    lines = [line[4:] for line in block.code.splitlines() if line.startswith((">>> ", "... "))]
    tree = ast.parse("\n".join(lines))
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports
    result = subprocess.run([sys.executable, "-c", "\n".join(imports)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("block", of("cpp"), ids=str)
def test_code_in_cpp_names_what_the_header_has(block: Block) -> None:
    header = (ROOT / "engines/cpp/include/lam/engine.h").read_text(encoding="utf-8")
    for name in ("Engine", "Embeddings", "load", "embed", "operator[]"):
        assert name in header


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", prose(page)))
    unknown = named - options() - OF_OTHER_PROGRAMS
    for place in map(ROOT.joinpath, ELSEWHERE.get(name_of(page), ())):
        source = "".join(p.read_text("utf-8") for p in ([place] if place.is_file() else place.glob("*.*")))
        unknown -= {o for o in unknown if o in source or re.search(rf"\b{o[2:].replace('-', '_')}: ", source)}
    assert not unknown
