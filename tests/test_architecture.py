"""Who may import whom; and what may be loaded when."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TREES = {"lam_export": ROOT, "lam_plugins": ROOT / "plugins", "lam_engines": ROOT / "engines"}

# Inside lam_export a part may import those below it, and both ground floors.
LAYERS = [{"cli"}, {"pipelines"}, {"bench"}, {"validate"}, {"evidence", "anatomy"}, {"export", "demo"}, {"model"}]


def imports(path: Path, package: str, *, for_types: bool = True) -> set[str]:
    """Full names of all modules that a file imports, inside functions too; with or without those for types alone."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    left_out = set() if for_types else {node for block in blocks for child in block.body for node in ast.walk(child)}
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def modules() -> list[tuple[str, Path]]:
    """(package that a file is in, file), for every file of the three trees."""
    return [
        (".".join(path.relative_to(root).parent.parts), path)
        for name, root in TREES.items()
        for path in sorted((root / name).rglob("*.py"))
    ]


def part(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "lam_export" and len(pieces) > 1 else None


@pytest.mark.parametrize(("package", "path"), modules(), ids=lambda x: str(x).removeprefix(str(ROOT)))
def test_imports_go_one_way(package: str, path: Path) -> None:
    found = imports(path, package)
    tree = package.split(".")[0]
    if tree in ("lam_plugins", "lam_engines"):
        strangers = [m for m in found for other in TREES if other != tree and m.split(".")[0] == other]
        assert not strangers, f"{tree} is a ground floor: {strangers}"
    if tree == "lam_engines":
        assert not [m for m in found if m.split(".")[0] in ("torch", "onnx", "transformers")]
    if (here := part(package)) is not None:
        level = next(i for i, layer in enumerate(LAYERS) if here in layer)
        allowed = {here}.union(*LAYERS[level + 1 :])
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
    "lam_export.evidence.results.results_folder",
    "lam_export.validate.report.folder.to_json",
    "lam_export.validate.report.render.terminal",
)


@pytest.mark.parametrize(
    "path", [path for package, path in modules() if package == "lam_export.cli"], ids=lambda path: str(path.stem)
)
def test_a_command_calls_one_pipeline_and_prints(path: Path) -> None:
    found = {m for m in imports(path, "lam_export.cli", for_types=False) if m.split(".")[0] == "lam_export"}
    used = {m for m in found if f"{m}.".startswith(tuple(f"{use}." for use in COMMAND_USES))}
    strangers = [m for m in found - used if not any(f"{name}.".startswith(f"{m}.") for name in PARSES_OR_PRINTS)]
    assert not strangers, f"a command has the work done by a pipeline, and {path.stem} imports {strangers}"
    pipelines = {m for m in found if m.startswith("lam_export.pipelines.") and m.count(".") == 2}
    assert len(pipelines) <= 1, f"one pipeline has all of a command's work, {path.stem} calls {sorted(pipelines)}"


def test_no_extra_brings_both_packages_of_onnxruntime() -> None:
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    runtimes = {name: [r for r in requires if "onnxruntime" in r or "cpu" in r] for name, requires in extras.items()}
    assert {name for name, found in runtimes.items() if found} == {"cpu", "gpu", "dev"}


def test_no_file_is_long() -> None:
    long = {p.name: n for _, p in modules() if (n := len(p.read_text(encoding="utf-8").splitlines())) > 320}
    assert not long


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import lam_engines, lam_engines.embedding.engine, lam_engines.runtimes.openvino.engine, "
            "lam_engines.runtimes.tensorrt.engine, lam_engines.runtimes.tensorrt.plans, "
            "lam_engines.serving.triton.client",
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
