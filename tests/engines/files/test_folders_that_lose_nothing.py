"""Everything in a folder is read, or the folder is refused."""

import codecs
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lam_engines.errors import InputError
from lam_engines.files import read_texts, text_files

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may read, with a file and a subfolder with another."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "sub").mkdir()
        (path / "a.txt").write_text("one\n")
        (path / "sub" / "b.txt").write_text("two\n")
        yield path
        for found in path.rglob("*"):
            if not found.is_symlink():
                found.chmod(0o755)


@pytest.fixture
def nobody() -> Iterator[None]:
    """A user whose rights count: those of root do not."""
    if os.geteuid():
        yield
        return
    codecs.lookup("utf-8-sig")  # that user may be unable to read Python's own files
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("mode", "what"), [(0o000, "sub"), (0o400, "sub"), (0o100, "sub")])
def test_a_subfolder_without_rights(folder: Path, mode: int, what: str, request: pytest.FixtureRequest) -> None:
    if not os.geteuid():
        os.chown(folder / "sub", NOBODY, NOBODY)
    (folder / "sub").chmod(mode)
    request.getfixturevalue("nobody")
    with pytest.raises(InputError, match=f"found .*{what}.*: Permission denied; check its rights"):
        text_files(folder)


def test_a_file_without_rights(folder: Path, request: pytest.FixtureRequest) -> None:
    (folder / "sub" / "b.txt").chmod(0)
    request.getfixturevalue("nobody")
    with pytest.raises(InputError, match=r"sub/b\.txt: Permission denied"):
        read_texts(folder)


@pytest.mark.parametrize("name", ["c.txt", "c", "c.d", "c.csv"])
@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_a_link_that_leads_nowhere(folder: Path, name: str, target: str) -> None:
    (folder / name).symlink_to(name if target == "itself" else target)
    with pytest.raises(InputError, match=rf"expected a folder that can be read to its end, found .*{name}"):
        text_files(folder)


def test_links_to_files_and_folders_are_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "c.txt").write_text("three\n")
    (folder / "link").symlink_to(tmp_path / "far")
    (folder / "link.txt").symlink_to(tmp_path / "far" / "c.txt")
    (folder / "twice").symlink_to(folder / "sub")
    assert list(read_texts(folder)) == ["one", "three", "three", "two", "two"]


@pytest.mark.parametrize("target", [".", "sub"])
def test_a_link_to_a_folder_that_it_is_in(folder: Path, target: str) -> None:
    (folder / "sub" / "again").symlink_to(folder / target)
    with pytest.raises(InputError, match=r"expected folders within folders, found .*; remove it"):
        text_files(folder)


def test_pipes_are_no_files_of_a_folder(folder: Path) -> None:
    os.mkfifo(folder / "other")
    assert len(text_files(folder)) == 2, "of no format"
    os.mkfifo(folder / "c.txt")
    with pytest.raises(InputError, match=r"c\.txt, a pipe or device; name it itself"):
        text_files(folder)


def test_hidden_names_are_left_out_whatever_they_are(folder: Path) -> None:
    (folder / ".link").symlink_to("nowhere")
    (folder / "_SUCCESS").touch()
    (folder / ".git").symlink_to(folder)
    assert len(text_files(folder)) == 2


@pytest.mark.parametrize("empty", [b"", b"\xef\xbb\xbf", b"id,text\n", b"id,text\n\n\n"])
def test_an_empty_part_blocks_nothing(tmp_path: Path, empty: bytes) -> None:
    for name, content in (("1", empty), ("2", b"id,text\n1,a\n"), ("3", empty)):
        (tmp_path / f"{name}.csv").write_bytes(content)
    assert list(read_texts(tmp_path)) == ["a"]


def test_a_named_format_chooses_the_files(tmp_path: Path) -> None:
    for name in ("a.txt", "b.csv", "c.CSV.gz", "d.jsonl"):
        (tmp_path / name).touch()
    assert [path.name for path in text_files(tmp_path, "csv")] == ["b.csv", "c.CSV.gz"]
    assert [path.name for path in text_files(tmp_path, "csv.gz")] == ["c.CSV.gz"]
    with pytest.raises(InputError, match="choose one with --format"):
        text_files(tmp_path)
