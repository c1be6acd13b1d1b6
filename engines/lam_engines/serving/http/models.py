"""The models of a server, by name, and their replacement without a gap."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...bundles.bundle import Bundle
from ...errors import InputError
from ...runtimes.registry import AUTO, DEFAULT, choose, default_device
from .errors import no_model
from .metrics import Metrics, ModelLabels
from .model import HttpModel
from .options import MOST_SHARES, HttpOptions


class Models:
    """All models of a server. The first one is asked where a request cannot name one."""

    def __init__(
        self,
        bundles: Sequence[Path],
        options: HttpOptions,
        metrics: Metrics,
        *,
        engine: str = DEFAULT,
        precision: str | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        """Load the bundles. A model's name is its folder's.

        Raises:
            InputError: two bundles have the same name, or there is none.
            BundleError: a bundle cannot be loaded, or its embeddings are none.
            EngineError: the engine cannot run here.
        """
        self._options, self._metrics = options, metrics
        self._engine, self._precision, self._device, self._threads = engine, precision, device, threads
        self._slots, self._places = threading.Semaphore(0), 0
        self._paths = {path.resolve().name: path for path in bundles}
        if not bundles or len(self._paths) < len(bundles):
            names = ", ".join(path.resolve().name for path in bundles)
            raise InputError(f"expected bundles in folders with names of their own, found {names}; rename one")
        self._reloading = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._models: dict[str, HttpModel] = {}
        try:
            for name, path in self._paths.items():
                self._models[name] = self._load(name, path)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[HttpModel]:
        return iter(self._models.values())

    @property
    def first(self) -> HttpModel:
        """The model of requests that cannot name one."""
        return next(iter(self._models.values()))

    def named(self, name: str) -> HttpModel:
        """A model.

        Raises:
            ApiError: 404; there is none of that name.
        """
        if name not in self._models:
            raise no_model(name, self._models)
        return self._models[name]

    async def reload(self) -> None:
        """Load all bundles again, beside the models that serve, and then switch. After an error nothing is switched.

        Raises:
            LamError: a bundle cannot be loaded, or its embeddings are none.
        """
        async with self._reloading:
            fresh: dict[str, HttpModel] = {}
            try:
                for name, path in self._paths.items():
                    fresh[name] = await asyncio.to_thread(self._load, name, path)
            except BaseException:
                for model in fresh.values():
                    model.close()
                raise
            old, self._models = self._models, fresh
            for model in old.values():
                task = asyncio.ensure_future(model.retire())
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)

    def abandon(self) -> None:
        """Answer all waiting requests with an error, because the server must stop."""
        for model in self:
            model.abandon()

    def close(self) -> None:
        """Close all engines."""
        for model in self:
            model.close()

    def _load(self, name: str, path: Path) -> HttpModel:
        bundle = Bundle(path)
        chosen = choose(self._engine, bundle, self._precision, self._device).runtime
        precision = self._precision or ("fp32" if self._engine == AUTO else chosen.precisions[0])
        device = self._device or default_device(self._engine)
        engine = chosen.load(bundle, precision=precision, device=device, threads=self._threads)
        labels = ModelLabels(name, chosen.name, precision)
        try:
            shares = engine.share(self._options.instances or MOST_SHARES)
            places = self._options.instances or shares
            while self._places < places:
                self._slots.release()
                self._places += 1
            return HttpModel(labels, engine, self._options, self._metrics, self._slots, places)
        except BaseException:
            engine.close()
            raise
