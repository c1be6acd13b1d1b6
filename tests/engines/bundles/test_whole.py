"""Drafts of files and folders: put in place whole, and gone otherwise."""

import os
from pathlib import Path

import pytest

from lam_engines.bundles.whole import (
    DRAFT_NAME,
    FolderKind,
    check_place,
    drafted_file,
    drafted_folder,
    drafts_of,
    put_file_in_place,
    put_folder_in_place,
    write_whole,
)
from lam_engines.errors import LamError

KIND = FolderKind("box", "take another: -o BOX", lambda path: (path / "lid").is_file(), LamError)


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"old")
    with drafted_file(place) as draft:
        draft.write(b"new")
        assert place.read_bytes() == b"old"
        (name,) = set(os.listdir(tmp_path)) - {"file"}
        assert DRAFT_NAME.fullmatch(name)
        assert [path.name for path in drafts_of(place)] == [name]
        put_file_in_place(draft, place)
        assert place.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_a_file_that_is_not_put_in_place_is_gone(tmp_path: Path, error: type[BaseException] | None) -> None:
    def write() -> None:
        with drafted_file(tmp_path / "file") as draft:
            draft.write(b"half")
            if error is not None:
                raise error

    if error is None:
        write()
    else:
        with pytest.raises(error):
            write()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "東" * 85, "a[b]*?.c", " ", "."])
def test_any_name_that_a_file_may_have(tmp_path: Path, name: str) -> None:
    name = name if name != "." else ".hidden"
    write_whole(tmp_path / "new" / name, b"content")
    assert (tmp_path / "new" / name).read_bytes() == b"content"
    with drafted_file(tmp_path / "new" / name):
        assert len(list(drafts_of(tmp_path / "new" / name))) == 1
    assert os.listdir(tmp_path / "new") == [name]


def test_drafts_of_others_are_not_ones_own(tmp_path: Path) -> None:
    for name in (".file.partial", f".file.{'0' * 31}.partial", f".other.{'0' * 32}.partial", "file", ".file.part"):
        (tmp_path / name).touch()
    assert list(drafts_of(tmp_path / "file")) == []


def test_many_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with drafted_file(tmp_path / "file") as one, drafted_file(tmp_path / "file") as other:
        one.write(b"one")
        other.write(b"other")
        put_file_in_place(one, tmp_path / "file")
        put_file_in_place(other, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"other"


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "new" / "box"
    with drafted_folder(place, KIND) as draft:
        (draft / "in it").mkdir()
        (draft / "in it" / "lid").write_bytes(b"")
        (draft / "link").symlink_to("/dev/full")  # what it leads to is nobody's to flush
        put_folder_in_place(draft, place, replace=False)
    assert os.listdir(place.parent) == ["box"]
    assert sorted(os.listdir(place)) == ["in it", "link"]
    assert place.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_is_not_put_in_place_is_gone(tmp_path: Path) -> None:
    with drafted_folder(tmp_path / "box", KIND) as draft:
        (draft / "lid").touch()
    assert os.listdir(tmp_path) == []


def test_an_error_of_the_system_says_what_to_do(tmp_path: Path) -> None:
    def write() -> None:
        with drafted_folder(tmp_path / "box", KIND):
            raise OSError(28, "No space left on device")

    with pytest.raises(LamError) as caught:
        write()
    expected = "was not written: No space left on device; what was there is unchanged; take another: -o BOX"
    assert str(caught.value) == f"{tmp_path / 'box'} {expected}"


def test_what_cannot_be_replaced_stays(tmp_path: Path) -> None:
    place = tmp_path / "box"
    place.mkdir()
    (place / "lid").write_bytes(b"old")
    with pytest.raises(LamError, match="was not written"), drafted_folder(place, KIND) as draft:
        (draft / "lid").write_bytes(b"new")
        put_folder_in_place(draft, place, replace=False)
    assert (place / "lid").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["box"]


@pytest.mark.parametrize("force", [False, True])
def test_only_ones_own_is_replaced(tmp_path: Path, force: bool) -> None:
    assert check_place(tmp_path / "none", KIND, force) == tmp_path / "none"
    (tmp_path / "empty").mkdir()
    assert check_place(tmp_path / "empty", KIND, force) == tmp_path / "empty"
    (tmp_path / "other" / "thesis").mkdir(parents=True)
    with pytest.raises(LamError, match="exists and is no box; it is not replaced, take another: -o BOX"):
        check_place(tmp_path / "other", KIND, force)
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "lid").touch()
    (tmp_path / "link").symlink_to("box")
    if force:
        assert check_place(tmp_path / "link", KIND, force) == tmp_path / "box"
    else:
        with pytest.raises(LamError, match=r"there is a box at .* already; replace it with --force, or take another"):
            check_place(tmp_path / "link", KIND, force)
