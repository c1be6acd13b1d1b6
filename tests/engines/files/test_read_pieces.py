"""A file of one long text, piece by piece."""

from pathlib import Path

import pytest

from lam_engines import InputError
from lam_engines.files import read_pieces


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_text_as_it_stands_there(tmp_path: Path, mark: bytes) -> None:
    text = "café\r\n東京\r\U0001f600\n" * 30_000
    path = tmp_path / "long.txt"
    path.write_bytes(mark + text.encode())
    pieces = list(read_pieces(path))
    assert "".join(pieces) == text
    assert len(pieces) > 3
    assert max(map(len, pieces)) <= 1 << 16


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    assert list(read_pieces(tmp_path / "empty.txt")) == []


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"a" * 200_000 + "é".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt: expected UTF-8, found byte 0xe9; convert the file"):
        list(read_pieces(path))
    path.write_bytes("é".encode()[:1])  # cut in a character
    with pytest.raises(InputError, match="found byte 0xc3"):
        list(read_pieces(path))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt: No such file"):
        next(read_pieces(tmp_path / "none.txt"))
