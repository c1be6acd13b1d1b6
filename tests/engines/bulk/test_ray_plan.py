"""The plan of a run, what takes it up, and the folder of its output. None of this needs Ray."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lam_engines.bulk.embedder import PartitionEmbedder, Places
from lam_engines.bulk.output import PLAN, finished, locked, read_plan, remove_half_written, remove_run, write_plan
from lam_engines.bulk.plan import BulkPlan, Work, check_same, make_plan
from lam_engines.bundles.bundle import file_entry
from lam_engines.contract import MANIFEST
from lam_engines.errors import InputError, LamError
from lam_engines.files import OutputError, Reading

HALF = f".part-000000.parquet.{'0' * 32}.partial"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("".join(f"a {i}\n" for i in range(7)))
    (folder / "b.txt").write_text("")
    (folder / "sub" / "c.txt").write_text("c 0\nc 1\n")
    return folder


@pytest.fixture
def work(tiny_bundle: Path) -> Work:
    return Work(
        bundle="bundle",
        manifest_sha256=file_entry(tiny_bundle / MANIFEST).sha256,
        engine="onnxruntime",
        precision=None,
        device=None,
        reading=Reading(),
        partition_rows=3,
    )


@pytest.fixture
def plan(work: Work, source: Path) -> BulkPlan:
    return make_plan(work, source)


@pytest.fixture
def output(tmp_path: Path, plan: BulkPlan) -> Path:
    folder = tmp_path / "out"
    write_plan(folder, plan)
    return folder


def worker(plan: BulkPlan, bundle: Path, source: Path, output: Path) -> PartitionEmbedder:
    (scratch := output.parent / "scratch").mkdir(exist_ok=True)
    return PartitionEmbedder(plan, Places(bundle, source, output, scratch, threads=1, batch_tokens=None))


def embed(worker: PartitionEmbedder, index: int) -> str:
    return worker({"index": np.array([index])})["error"][0]


def test_partitions_hold_all_texts_and_none_of_two_files(plan: BulkPlan) -> None:
    found = [(p.name, p.file.path, p.first, p.rows) for p in plan.partitions()]
    assert found == [
        ("part-000000.parquet", "a.txt", 0, 3),
        ("part-000001.parquet", "a.txt", 3, 3),
        ("part-000002.parquet", "a.txt", 6, 1),
        ("part-000003.parquet", "sub/c.txt", 0, 2),
    ]
    assert plan.rows == 9


def test_a_mistake_in_the_last_row_is_found_first(work: Work, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('"fine"\n' * 50 + "broken\n")
    with pytest.raises(InputError, match="line 51"):
        make_plan(work, tmp_path / "x.jsonl")


def test_what_was_begun_is_taken_up(plan: BulkPlan, source: Path, output: Path) -> None:
    assert read_plan(output) == plan
    os.utime(source / "a.txt")  # written anew with the same content
    check_same(plan, plan.work.model_copy(update={"bundle": "renamed"}), source, output)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("manifest_sha256", "1" * 64, "expected the bundle of the run in"),
        ("precision", "int8", "expected the precision of the run in .* none named, found int8"),
        ("partition_rows", 4, "expected the --partition-rows of .* 3, found 4"),
        ("reading", Reading(column="body"), "expected the --column of"),
        ("reading", Reading(keep=("id",)), "expected the --keep of"),
    ],
)
def test_another_work_is_refused(
    field: str, value: object, said: str, plan: BulkPlan, source: Path, output: Path
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        check_same(plan, plan.work.model_copy(update={field: value}), source, output)
    assert "begin anew: another folder with -o, or --force" in str(refused.value)


def test_other_inputs_are_refused(plan: BulkPlan, source: Path, output: Path) -> None:
    (source / "new.txt").write_text("x\n")
    with pytest.raises(InputError, match=r"found a new file: new\.txt"):
        check_same(plan, plan.work, source, output)
    (source / "new.txt").unlink()
    (source / "a.txt").write_text("".join(f"A {i}\n" for i in range(7)))  # as long as it was
    os.utime(source / "a.txt", ns=(0, 0))
    with pytest.raises(InputError, match=r"found it changed: a\.txt"):
        check_same(plan, plan.work, source, output)
    (source / "a.txt").unlink()
    with pytest.raises(InputError, match=r"found it gone: a\.txt"):
        check_same(plan, plan.work, source, output)


def test_workers_write_partitions_in_any_order(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    ready = worker(plan, tiny_bundle, source, output)
    partitions = plan.partitions()
    assert [embed(ready, index) for index in (0, 2, 1, 3)] == [""] * 4
    assert all(finished(output, partition) for partition in partitions)
    texts = [pq.read_table(output / partition.name)["text"].to_pylist() for partition in partitions]
    assert texts == [["a 0", "a 1", "a 2"], ["a 3", "a 4", "a 5"], ["a 6"], ["c 0", "c 1"]]
    assert pq.read_table(output).num_rows == 9, "the plan is no obstacle to readers of the folder"


def test_a_partition_that_is_damaged_is_not_finished(plan: BulkPlan, output: Path) -> None:
    first = plan.partitions()[0]
    assert not finished(output, first)
    (output / first.name).write_bytes(b"PAR1 and no more")
    assert not finished(output, first)


def test_an_input_that_changes_on_the_way(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    (source / "a.txt").write_text("one\n")
    ready = worker(plan, tiny_bundle, source, output)
    assert "a.txt has changed since the run began" in embed(ready, 0)
    assert [path.name for path in output.iterdir()] == [PLAN]
    assert embed(ready, 3) == ""


def test_a_partition_that_ends_its_workers_is_given_up(
    plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path
) -> None:
    for _ in range(3):
        assert embed(worker(plan, tiny_bundle, source, output), 0) == ""
    assert "3 workers were killed while they embedded part-000000" in embed(
        worker(plan, tiny_bundle, source, output), 0
    )


def test_a_bundle_that_changes_on_the_way(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    other = plan.model_copy(update={"work": plan.work.model_copy(update={"manifest_sha256": "1" * 64})})
    assert "was changed while it was in use" in embed(worker(other, tiny_bundle, source, output), 0)


def test_half_written_files_go_and_others_stay(output: Path) -> None:
    (output / HALF).write_text("half")
    (output / "part-000000.parquet").write_text("whole")
    remove_half_written(output)
    assert sorted(path.name for path in output.iterdir()) == [PLAN, "part-000000.parquet"]
    remove_run(output)
    assert list(output.iterdir()) == []


def test_files_of_others_are_left_alone(output: Path, tmp_path: Path) -> None:
    (output / "thesis.docx").write_text("x")
    with pytest.raises(OutputError, match=r"found thesis\.docx"):
        remove_run(output)
    assert len(list(output.iterdir())) == 2
    with pytest.raises(OutputError, match=r"or the folder of an earlier run, found thesis\.docx"):
        (output / PLAN).unlink()
        read_plan(output)


def test_a_broken_plan(output: Path) -> None:
    (output / PLAN).write_text("{}")
    with pytest.raises(InputError, match="found a broken one; begin anew with --force"):
        read_plan(output)


def test_one_run_at_a_time(output: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with locked(output), pytest.raises(OutputError, match="another run is writing"), locked(output):
        pass
    with pytest.raises(LamError), locked(tmp_path / "new"):
        raise LamError("nothing was written")
    assert not (tmp_path / "new").exists()
