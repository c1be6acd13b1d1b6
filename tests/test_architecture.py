"""The rules of the house: who may import whom, what is defined where, and what may be loaded when."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable

import pytest
from source import FILES, MODULES, ROOT, TREES, File, circle, compared, private_names

# Inside lam_export a part may import those below it, and both ground floors.
LAYERS = [{"cli"}, {"pipelines"}, {"bench", "validate"}, {"evidence", "anatomy"}, {"export", "demo"}, {"model"}]
SIDE_BY_SIDE = {"bench", "validate"}
"""They know nothing of each other."""
RUNTIMES = {"onnxruntime", "openvino", "tensorrt", "tensorrtrtx"}
MAX_LINES = 300
STANDALONE = ("lam_engines.serving.deployment.probe",)
"""Copied to where the package is not."""


def none(broken: Iterable[str]) -> None:
    """Fail with a line for each thing that breaks a rule."""
    found = sorted(set(broken))
    assert not found, "\n".join(["expected none of these, found", *found])


def part(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "lam_export" and len(pieces) > 1 else None


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_go_one_way(file: File) -> None:
    found = {found.module for found in file.imports} | {found.full for found in file.imports}
    tree = file.module.split(".")[0]
    if tree in ("lam_plugins", "lam_engines"):
        strangers = [m for m in found for other in TREES if other != tree and m.split(".")[0] == other]
        assert not strangers, f"{tree} is a ground floor: {strangers}"
    if tree == "lam_engines":
        assert not [m for m in found if m.split(".")[0] in ("torch", "onnx", "transformers")]
    if (here := part(file.package)) is not None:
        level = next(i for i, layer in enumerate(LAYERS) if here in layer)
        beside = {here} if here in SIDE_BY_SIDE else LAYERS[level]
        allowed = beside.union(*LAYERS[level + 1 :])
        parts = {name for layer in LAYERS for name in layer}
        strangers = [m for m in found if part(m) in parts and part(m) not in allowed]
        assert not strangers, f"{here} may import {sorted(allowed)}, and imports {strangers}"


# A command parses, calls one pipeline and prints. What it may use of lam_export for that when it runs:
COMMAND_USES = ("lam_export.cli", "lam_export.pipelines", "lam_export.requirements", "lam_export.version")
PARSES_OR_PRINTS = (
    "lam_export.bench.speed.shapes.parse_lengths",
    "lam_export.bench.speed.shapes.parse_shape",
    "lam_export.evidence.record.terminal",
    "lam_export.evidence.record.to_json",
    "lam_export.evidence.results.NOT_KEPT",
    "lam_export.evidence.results.results_folder",
    "lam_export.bench.gate.history.History",
    "lam_export.bench.gate.history_page.shown",
    "lam_export.validate.report.report_page.shown",
)


@pytest.mark.parametrize("file", [file for file in FILES if file.package == "lam_export.cli"], ids=str)
def test_a_command_calls_one_pipeline_and_prints(file: File) -> None:
    blocks = [x for x in ast.walk(file.tree) if isinstance(x, ast.If) and ast.unparse(x.test) == "TYPE_CHECKING"]
    for_types = {
        node.lineno for block in blocks for child in block.body for node in ast.walk(child) if hasattr(node, "lineno")
    }
    used = [found for found in file.imports if found.line not in for_types and found.module.startswith("lam_export")]
    full = {found.module if found.full in MODULES else found.full for found in used} | {x.full for x in used}
    others = {m for m in full if not f"{m}.".startswith(tuple(f"{use}." for use in COMMAND_USES))}
    strangers = [m for m in others if not any(f"{name}.".startswith(f"{m}.") for name in PARSES_OR_PRINTS)]
    assert not strangers, f"a command has the work done by a pipeline, and {file} imports {strangers}"
    pipelines = {m for m in full if m.startswith("lam_export.pipelines.") and m in MODULES}
    pipelines |= {found.module for found in used if found.module.startswith("lam_export.pipelines.")}
    assert len(pipelines) <= 1, f"one pipeline has all of a command's work, {file} calls {sorted(pipelines)}"


def test_no_modules_import_each_other() -> None:
    """Imports inside functions, and those for a type checker alone, count too."""
    assert not (found := circle()), f"{' -> '.join(found)}"


def test_private_names_stay_in_their_file() -> None:
    none({f"{file} uses {name}" for file in FILES for name in private_names(file)})


def test_no_file_is_long() -> None:
    none([str(file) for file in FILES if len(file.text.splitlines()) > MAX_LINES])


def test_the_names_of_runtimes_are_compared_in_their_registry_alone() -> None:
    def runtime(value: str) -> bool:
        return re.sub("[ _-]", "", value.lower()) in RUNTIMES

    elsewhere = [file for file in FILES if not file.module.startswith("lam_engines.runtimes")]
    none({f"{file}: {value.lower()}" for file in elsewhere for _, value in compared(file) if runtime(value)})


def contract() -> set[str]:
    """Names of tensors, files and variables that are too particular to mean anything else."""
    names = {
        node.value
        for statement in MODULES["lam_engines.contract"].tree.body
        if isinstance(statement, ast.Assign)
        for node in ast.walk(statement.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {name for name in names if not name.isalpha() and not name.startswith(("fp", "int", "bf"))}


def test_a_name_of_the_contract_is_written_once() -> None:
    """lam_plugins, the other ground floor, cannot import it."""
    names = contract()
    assert {"input_ids", "sentence_embedding", "manifest.json", "model.fp16.onnx", "LAM_EXPORT_CACHE"} <= names
    others = [
        file for file in FILES if not file.module.startswith(("lam_engines.contract", "lam_plugins", *STANDALONE))
    ]
    none({f"{file}: {value}" for file in others for _, value in file.strings() if value in names})


def test_a_name_means_one_thing() -> None:
    """No two public classes of one name, but for operators' faces, and what Triton prescribes."""
    places = defaultdict(list)
    for file in FILES:
        if not file.module.startswith("lam_plugins"):
            for node in file.tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(str(file))
    several = {name: files for name, files in places.items() if len(files) > 1 and name != "TritonPythonModel"}
    none([f"{name} in {' '.join(sorted(files))}" for name, files in several.items()])


def test_what_is_measured_is_a_subject() -> None:
    others = ("Side", "Entrant", "Contender", "Rival", "Runner", "Target", "Baseline", "Against")
    measuring = [file for file in FILES if file.module.startswith("lam_export")]
    classes = [(file, node) for file in measuring for node in ast.walk(file.tree) if isinstance(node, ast.ClassDef)]
    # Those that Polygraphy's Comparator runs are its runners.
    classes = [(file, node) for file, node in classes if "BaseRunner" not in map(ast.unparse, node.bases)]
    none([f"{file}: {node.name}" for file, node in classes if any(noun in node.name for noun in others)])


def test_no_extra_brings_both_packages_of_onnxruntime() -> None:
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    runtimes = {name: [r for r in requires if "onnxruntime" in r or "cpu" in r] for name, requires in extras.items()}
    assert {name for name, found in runtimes.items() if found} == {"cpu", "gpu", "rtx", "dev"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import lam_engines, lam_engines.embedding.engine, lam_engines.runtimes.openvino.engine, "
            "lam_engines.runtimes.tensorrt.engine, lam_engines.runtimes.tensorrt.plans, "
            "lam_engines.serving.client",
            ["torch", "onnx", "onnxruntime", "openvino", "tensorrt", "cuda", "tokenizers", "tritonclient", "grpc"],
        ),
        (
            "import lam_export.cli as cli; cli._app()",
            [
                "torch",
                "onnx",
                "onnxruntime",
                "openvino",
                "tensorrt",
                "tokenizers",
                "numpy",
                "pydantic",
                "ray",
                "pandas",
            ],
        ),
        (
            "import lam_export; [getattr(lam_export, name) for name in lam_export.__all__]",
            ["torch", "onnx", "onnxruntime", "openvino", "tensorrt", "tokenizers", "polygraphy", "triton", "scipy"],
        ),
        ("import lam_export", ["numpy", "pydantic", "rich", "typer", "lam_engines"]),
        ("import lam_plugins.fused_delta_rule", ["torch", "onnx", "triton"]),
        ("import lam_plugins.dual_state_delta_rule", ["torch", "onnx", "triton"]),
    ],
)
def test_heavy_modules_wait_until_they_are_used(statement: str, absent: list[str]) -> None:
    code = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    path = ":".join(str(root) for root in TREES.values())
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": path})
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
