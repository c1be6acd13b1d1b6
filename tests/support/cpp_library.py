"""The C interface of the C++ engine, bound as any language may bind it."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np


class Options(ctypes.Structure):
    """``lam_options``; zeros are the library's own choice."""

    _fields_ = (
        ("backend", ctypes.c_char_p),
        ("precision", ctypes.c_char_p),
        ("threads", ctypes.c_int),
        ("cache", ctypes.c_char_p),
    )


class LoadError(Exception):
    """A bundle that the library does not load: status and message."""


class Library:
    """A loaded bundle."""

    OK, BUNDLE_ERROR, ENGINE_ERROR, INPUT_ERROR = range(4)

    def __init__(self, build: Path, bundle: Path, threads: int = 0) -> None:
        self.c = ctypes.CDLL(str(build / "liblam_engine.so"))
        self.c.lam_engine_hidden_size.restype = ctypes.c_size_t
        self.c.lam_engine_max_tokens.restype = ctypes.c_size_t
        self.c.lam_version.restype = ctypes.c_char_p
        for name in ("lam_engine_free", "lam_string_free"):
            getattr(self.c, name).restype = None
        self.engine = ctypes.c_void_p()
        status, said = self.load(bundle, self.engine, Options(threads=threads))
        if status != self.OK:
            raise LoadError(status, said)

    def load(self, bundle: Path, engine: ctypes.c_void_p, options: Options | None = None) -> tuple[int, str]:
        error = ctypes.c_void_p()
        place, chosen = str(bundle).encode(), None if options is None else ctypes.byref(options)
        status = self.c.lam_engine_load(place, chosen, ctypes.byref(engine), ctypes.byref(error))
        return status, self._said(error)

    def embed(self, texts: Sequence[bytes | None], batch_tokens: int = 0) -> tuple[int, str, np.ndarray]:
        """Status, message, and ``[n, hidden]``; texts end at their first zero byte only if one is None."""
        vectors = np.zeros((len(texts), self.c.lam_engine_hidden_size(self.engine)), dtype=np.float32)
        array = (ctypes.c_char_p * len(texts))(*texts)
        lengths = None if None in texts else (ctypes.c_size_t * len(texts))(*map(len, texts))  # type: ignore[arg-type]
        error, room = ctypes.c_void_p(), vectors.ctypes.data_as(ctypes.c_void_p)
        sizes = ctypes.c_size_t(len(texts)), ctypes.c_size_t(batch_tokens)
        status = self.c.lam_engine_embed(self.engine, array, lengths, *sizes, room, ctypes.byref(error))
        return status, self._said(error), vectors

    def embed_ids(self, rows: Sequence[Sequence[int]], batch_tokens: int = 0) -> tuple[int, str, np.ndarray]:
        vectors = np.ones((len(rows), self.c.lam_engine_hidden_size(self.engine)), dtype=np.float32)
        flat = [id for row in rows for id in row]
        ids = (ctypes.c_int64 * len(flat))(*flat)
        lengths = (ctypes.c_size_t * len(rows))(*map(len, rows))
        error, room = ctypes.c_void_p(), vectors.ctypes.data_as(ctypes.c_void_p)
        sizes = ctypes.c_size_t(len(rows)), ctypes.c_size_t(batch_tokens)
        status = self.c.lam_engine_embed_ids(self.engine, ids, lengths, *sizes, room, ctypes.byref(error))
        return status, self._said(error), vectors

    def close(self) -> None:
        self.c.lam_engine_free(self.engine)
        self.engine = ctypes.c_void_p()

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _said(self, error: ctypes.c_void_p) -> str:
        message = ctypes.string_at(error).decode() if error else ""  # type: ignore[arg-type]
        self.c.lam_string_free(error)
        return message
