"""The plan of a run, what takes it up, and the folder of its output. None of this needs Ray."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lam_engines.bulk.embedder import PartitionEmbedder, Places
from lam_engines.bulk.output import locked, read_plan, remove_half_written, remove_run, unfinished, write_plan
from lam_engines.bulk.plan import PARTITION_CHARACTERS, PLAN, BulkPlan, Work, check_same, make_plan, scan
from lam_engines.bundles.bundle import file_entry
from lam_engines.contract import MANIFEST
from lam_engines.errors import EngineError, InputError, LamError
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


class Worker:
    """An embedder, asked by the number of a partition."""

    def __init__(
        self,
        plan: BulkPlan,
        bundle: Path,
        source: Path,
        output: Path,
        meanwhile: Callable[[int], None] = lambda texts: None,
    ) -> None:
        self._partitions = plan.partitions()
        self._plan_sha256 = hashlib.sha256((output / PLAN).read_bytes()).hexdigest()
        places = Places(bundle, source, output, threads=1, batch_tokens=None)
        self._embedder = PartitionEmbedder(plan.work, places, meanwhile)

    def embed(self, index: int) -> int:
        return self._embedder.embed((self._partitions[index], self._plan_sha256)).rows


def test_partitions_hold_all_texts_and_none_of_two_files(plan: BulkPlan) -> None:
    found = [(p.name, p.path, p.first, p.rows) for p in plan.partitions()]
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
    ready = Worker(plan, tiny_bundle, source, output)
    partitions = plan.partitions()
    assert [ready.embed(index) for index in (0, 2, 1, 3)] == [3, 1, 3, 2]
    assert not unfinished(output, partitions)
    texts = [pq.read_table(output / partition.name)["text"].to_pylist() for partition in partitions]
    assert texts == [["a 0", "a 1", "a 2"], ["a 3", "a 4", "a 5"], ["a 6"], ["c 0", "c 1"]]
    assert pq.read_table(output).num_rows == 9, "the plan is no obstacle to readers of the folder"


def test_parquet_is_not_read_from_its_beginning(work: Work, tiny_bundle: Path, tmp_path: Path) -> None:
    """The pages of the first row group are damaged, and the partitions after it do not meet them."""
    source = tmp_path / "x.parquet"
    texts = [f"text {i} {'long ' * 50}" for i in range(12)]
    pq.write_table(pa.table({"text": texts}), source, row_group_size=4, compression=None, use_dictionary=False)
    plan = make_plan(work, source)
    write_plan(tmp_path / "out", plan)
    content, about = bytearray(source.read_bytes()), source.stat()
    content[4:300] = b"\xff" * 296
    source.write_bytes(content)
    os.utime(source, ns=(about.st_atime_ns, about.st_mtime_ns))
    ready = Worker(plan, tiny_bundle, tmp_path, tmp_path / "out")
    for index in (3, 2):
        assert ready.embed(index) == 3
        found = pq.read_table(tmp_path / "out" / f"part-00000{index}.parquet")["text"].to_pylist()
        assert found == texts[3 * index : 3 * index + 3]
    with pytest.raises(InputError, match=r"x\.parquet"):
        ready.embed(0)


def test_a_partition_that_is_damaged_is_not_finished(plan: BulkPlan, output: Path) -> None:
    first = plan.partitions()[0]
    assert unfinished(output, [first]) == [first]
    (output / first.name).write_bytes(b"PAR1 and no more")
    assert unfinished(output, [first]) == [first]


def test_an_input_that_changes_on_the_way(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    (source / "a.txt").write_text("one\n")
    ready = Worker(plan, tiny_bundle, source, output)
    with pytest.raises(InputError, match=r"a\.txt has changed since the run began"):
        ready.embed(0)
    assert [path.name for path in output.iterdir()] == [PLAN]
    assert ready.embed(3) == 2


def test_long_texts_make_short_partitions(work: Work, tmp_path: Path) -> None:
    """A text is never split, and a partition holds one at least."""
    long = "word " * (PARTITION_CHARACTERS // 12)
    (tmp_path / "x.txt").write_text("\n".join([long] * 3 + ["short"] * 4 + [long * 4] + ["short"] * 2))
    (file,) = make_plan(work, tmp_path / "x.txt").inputs
    assert file.partitions == (2, 3, 2, 1, 2)


def test_another_output_on_a_machine_is_refused(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    """As on a node of a cluster that has a disk of its own at the same path."""
    ready = Worker(plan, tiny_bundle, source, output)
    (output / PLAN).unlink()
    with pytest.raises(OutputError, match="name a place that all machines share"):
        ready.embed(0)


def test_a_run_that_was_taken_for_dead_writes_no_more(
    plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path
) -> None:
    """Another run begins anew in its output while it embeds a partition."""
    ready = Worker(plan, tiny_bundle, source, output, lambda texts: (output / PLAN).write_text("{}") and None)
    with pytest.raises(OutputError, match="found another or none on this machine"):
        ready.embed(0)
    assert [path.name for path in output.iterdir()] == [PLAN]


def test_an_input_that_changes_while_it_is_read(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    ready = Worker(plan, tiny_bundle, source, output, lambda texts: os.utime(source / "a.txt"))
    with pytest.raises(InputError, match=r"a\.txt has changed since the run began"):
        ready.embed(0)
    assert [path.name for path in output.iterdir()] == [PLAN]


def test_a_touched_input_of_the_same_content(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    os.utime(source / "a.txt")
    again = check_same(plan, plan.work, source, output)
    assert Worker(again, tiny_bundle, source, output).embed(0) == 3


def test_reasons_are_in_the_order_of_the_files(plan: BulkPlan, source: Path) -> None:
    """Files are read in any order."""
    base, told = source, []
    found = make_plan(
        plan.work,
        source,
        lambda files: [scan(base, *file, plan.work) for file in reversed(files)],
        lambda one: told.append(one.file.path),
    )
    assert found == plan
    assert told == ["a.txt", "b.txt", "sub/c.txt"]


def test_an_engine_with_another_limit(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    """As on a machine with another GPU, whose TensorRT plan takes other lengths: it would leave out other rows."""
    other = plan.model_copy(update={"inputs": [file.model_copy(update={"max_tokens": 512}) for file in plan.inputs]})
    with pytest.raises(EngineError, match="expected an engine with the limit of the run, 512 tokens a text"):
        Worker(other, tiny_bundle, source, output).embed(0)


def test_a_bundle_that_changes_on_the_way(plan: BulkPlan, tiny_bundle: Path, source: Path, output: Path) -> None:
    other = plan.model_copy(update={"work": plan.work.model_copy(update={"manifest_sha256": "1" * 64})})
    with pytest.raises(InputError, match="changed while it was in use, or differs between machines"):
        Worker(other, tiny_bundle, source, output).embed(0)


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
