"""What happens to bundles when writing them goes wrong: what was there is kept whole."""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bundles import FILES, graph, read_all, write

from lam_engines.bundles.writing import write_bundle
from lam_engines.errors import BundleError


def run(code: str, path: Path, launcher: tuple[str, ...] = ()) -> list[str]:
    """Run Python code in a process of its own, with ``path`` as a variable; the lines that it prints."""
    head = "import os, sys\nfrom pathlib import Path\nimport bundles\nfrom lam_engines.bundles.bundle import *\n"
    head += "from lam_engines.bundles.whole import *\nfrom lam_engines.bundles.writing import *\n"
    head += "from lam_engines.errors import BundleError\npath = Path(sys.argv[1])\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*launcher, sys.executable, "-c", head + code, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("there", [False, True])
def test_an_exception_leaves_what_was_there(tmp_path: Path, error: type[BaseException], there: bool) -> None:
    bundle = tmp_path / "bundle"
    if there:
        write(bundle)
    with pytest.raises(error), write_bundle(bundle, force=True) as (draft, _):
        (draft / "model.onnx").write_bytes(b"half a graph")
        raise error
    assert os.listdir(tmp_path) == ["bundle"] * there
    assert not there or read_all(bundle) == FILES


def test_without_a_manifest_there_is_no_bundle(tmp_path: Path) -> None:
    with write_bundle(tmp_path / "bundle") as (draft, _):
        (draft / "model.onnx").write_bytes(b"")
    assert os.listdir(tmp_path) == []


# A child for each step of writing, killed there; what is then found at the bundle's place, or else beside it.
KILLED = """
import shutil
NEW = {"model.onnx": bundles.graph(b"a better graph"), "tokenizer.json": b"another tokenizer"}

def content(place):
    return {name: Bundle(place).read(name) for name in FILES}

def write_and_die(steps):
    def hook(event, arguments):
        nonlocal steps
        steps -= event.split(".")[0] in ("open", "os", "shutil", "tempfile")
        if steps < 0:
            os._exit(9)
    sys.addaudithook(hook)
    bundles.write(path, NEW, force=True)

FILES, killed = bundles.FILES, 9
for steps in range(1000):
    shutil.rmtree(path.parent, ignore_errors=True)
    bundles.write(path)
    child = os.fork()
    if not child:
        try:
            write_and_die(steps)
            os._exit(0)
        finally:
            os._exit(1)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = [path] if path.exists() else list(path.parent.glob(".*.old"))
    held = [content(place) for place in found]
    print(killed, path.exists(), "old" if held == [FILES] else "new" if held == [NEW] else "broken")
    assert content(bundles.write(path, NEW, force=True)) == NEW
    if killed != 9:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_at_any_step_leaves_a_whole_bundle(tmp_path: Path) -> None:
    lines = run(KILLED, tmp_path / "place" / "bundle")
    assert len(lines) > 15
    assert lines[-1] == "0 True new"
    states = [line.split()[1:] for line in lines]
    gone = [state for state in states if state[0] == "False"]
    assert gone in ([], [["False", "old"]])  # between two renames the old one has another name
    kinds = [kind for _, kind in states]
    assert kinds == sorted(kinds, key=["old", "new"].index)


# The same for an extension, which changes files in their places. Prints what is found, before and after a second try.
KILLED_EXTENDING = """
import shutil
ADDED = {"engines/a.plan": b"a plan", "engines/b.plan": b"another"}

def extend():
    drop = ["tokenizer.json"]
    return extend_bundle(path, ADDED, lambda m: m.model_copy(update={"max_tokens_tested": 7}), drop=drop)

def extend_and_die(steps):
    def hook(event, arguments):
        nonlocal steps
        steps -= event.split(".")[0] in ("open", "os", "fcntl")
        if steps < 0:
            os._exit(9)
    sys.addaudithook(hook)
    extend()

def state():
    bundles.check_with_sha256sum(path)
    tokens = Bundle(path).manifest.max_tokens_tested
    found = bundles.read_all(path)
    old, new = bundles.FILES, {"model.onnx": bundles.FILES["model.onnx"], **ADDED}
    return {(2000, *old.items()): "old", (7, *new.items()): "new"}.get((tokens, *found.items()), "broken")

killed = 9
for steps in range(1000):
    shutil.rmtree(path.parent, ignore_errors=True)
    bundles.write(path)
    child = os.fork()
    if not child:
        try:
            extend_and_die(steps)
            os._exit(0)
        finally:
            os._exit(1)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    form = "settled" if "  manifest.json" in (path / "SHA256SUMS").read_text() else "committed"
    before = state()
    extend()
    drafts = [place for place in path.rglob("*") if place.name.endswith(".partial")]
    left = {str(place.relative_to(path)) for place in path.rglob("*") if place.is_file() and place not in drafts}
    whole = left - {"tokenizer.json"} == {"manifest.json", "SHA256SUMS", "model.onnx", *ADDED}
    print(killed, form, before, state(), "whole" if whole else left)
    if killed != 9:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_while_it_extends_leaves_the_old_bundle_or_the_new_one(tmp_path: Path) -> None:
    lines = run(KILLED_EXTENDING, tmp_path / "place" / "bundle")
    assert len(lines) > 40
    assert lines[-1] == "0 settled new new whole"
    states = [tuple(line.split()[1:3]) for line in lines]
    assert list(dict.fromkeys(states)) == [("settled", "old"), ("committed", "new"), ("settled", "new")]
    assert all(line.endswith(" new whole") for line in lines), lines


# Writes more than there is room for; prints the error, and what the folder then holds.
FILL = """
bundles.write(path)
try:
    bundles.write(path, {"model.onnx": bundles.graph(bytes(2_000_000))}, force=True)
except BundleError as error:
    print(error)
print(os.listdir(path.parent), Bundle(path).read("model.onnx"))
"""


def check_filled(lines: list[str], path: Path, reason: str) -> None:
    message, rest = lines
    remedy = "choose another place: -o BUNDLE"
    assert message == f"{path} was not written: {reason}; what was there is unchanged; {remedy}"
    assert rest == f"['bundle'] {FILES['model.onnx']!r}"


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    check_filled(run(limit + FILL, tmp_path / "bundle"), tmp_path / "bundle", "File too large")


def test_a_full_disk(tmp_path: Path) -> None:
    # A file system of one megabyte, seen by the one process alone and gone with it.
    mount = f"mount -t tmpfs -o size=1m none '{tmp_path}' && exec \"$@\""
    launcher = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if not shutil.which("unshare") or subprocess.run([*launcher, "true"], capture_output=True).returncode:
        pytest.skip("needs a user namespace in which a tmpfs can be mounted")
    check_filled(run(FILL, tmp_path / "bundle", launcher), tmp_path / "bundle", "No space left on device")
    mounted = "try: check_place(path, BUNDLE, True)\nexcept BundleError as error: print(error)"
    assert "is a mount or the working folder" in run(mounted, tmp_path, launcher)[0]


# Root may write anywhere, so it steps down. Prints how a new bundle, a bundle to replace, and one to read are refused.
FORBIDDEN = """
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for action in (
    lambda: bundles.write(path / "bundle"),
    lambda: bundles.write(path / "there", force=True),
    lambda: bundles.write(path / "shut" / "bundle"),
    lambda: Bundle(path / "shut" / "bundle"),
):
    try:
        action()
    except BundleError as error:
        print(error)
"""


def test_without_permission() -> None:
    with tempfile.TemporaryDirectory() as name:  # not tmp_path: another user must get there
        folder = Path(name)
        write(folder / "there")
        (folder / "shut").mkdir(mode=0)
        folder.chmod(0o555)
        try:
            lines = run(FORBIDDEN, folder)
        finally:
            folder.chmod(0o755)
            (folder / "shut").chmod(0o755)
        assert len(lines) == 4
        assert all("Permission denied" in line for line in lines), lines
        assert read_all(folder / "there") == FILES


def one_of(i: int) -> dict[str, bytes]:
    return {"model.onnx": graph(b"%d" % i * 100_000), "tokenizer.json": b"%d" % i}


@pytest.mark.parametrize("force", [False, True])
def test_of_many_writers_one_wins(tmp_path: Path, force: bool) -> None:
    bundle = tmp_path / "bundle"

    def attempt(i: int) -> bool | dict[str, bytes]:
        try:
            return read_all(bundle) if i % 4 == 0 else bool(write(bundle, one_of(i), force=force))
        except BundleError:
            return False

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(40 if force else 8)))
    whole = [one_of(i) for i in range(40)]
    assert read_all(bundle) in whole
    assert os.listdir(tmp_path) == ["bundle"]
    assert all(result in whole for result in results if isinstance(result, dict))
    assert results.count(True) >= 1
    assert force or results.count(True) == 1
