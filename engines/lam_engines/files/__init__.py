"""Texts in, embeddings out: the files that ``lam-export embed`` reads and writes."""

from .folders import text_files
from .pieces import read_pieces
from .readers import read_rows, read_texts
from .rows import Reading, Row, RowReader
from .source import TextReader
from .writers import EmbeddingWriter, OutputError, open_writer

__all__ = [
    "EmbeddingWriter",
    "OutputError",
    "Reading",
    "Row",
    "RowReader",
    "TextReader",
    "open_writer",
    "read_pieces",
    "read_rows",
    "read_texts",
    "text_files",
]
