"""Texts in, embeddings out: the files that ``lam-export embed`` reads and writes."""

from .folders import text_files
from .pieces import read_pieces
from .readers import read_texts
from .source import TextReader
from .writers import EmbeddingWriter, OutputError, open_writer

__all__ = ["EmbeddingWriter", "OutputError", "TextReader", "open_writer", "read_pieces", "read_texts", "text_files"]
