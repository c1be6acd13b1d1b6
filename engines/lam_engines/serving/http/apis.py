"""What is served: OpenAI's API, text-embeddings-inference's, KServe's, and the server's own paths."""

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import exposition
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ...contract import SENTENCE_EMBEDDING, TEXT, TOKEN_COUNT, TRUNCATED
from ...errors import LamError
from ..limits import BYTES_PER_TOKEN
from .bodies import Bodies, check_dimensions, json_response, listed
from .errors import ApiError
from .metrics import Metrics
from .model import HttpModel
from .models import Models
from .options import MAX_TEXTS, HttpOptions
from .schemas import KserveRequest, OpenAiRequest, TeiRequest, TokenizeRequest, openai_answer
from .state import State
from .waiting import Embedded

HEALTH = ("/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready")
"""Paths that need neither a key nor a known host: probes have none."""
_AT_ONCE = 8
"""Texts whose answer is written in the event loop itself."""


class Apis:
    """The endpoints of one server."""

    def __init__(self, models: Models, options: HttpOptions, metrics: Metrics, state: State) -> None:
        self._models, self._options, self._metrics, self._state = models, options, metrics, state
        self._bodies = Bodies(options)
        self._created = int(time.time())

    def app(self) -> ASGIApp:
        """Answers requests to all paths."""
        routes = self._routes()
        router = Router(routes, redirect_slashes=False)
        known = {(method, route.path): route for route in routes for method in route.methods or ()}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            route = known.get((scope["method"], scope["path"]))
            if route is None:
                await router(scope, receive, send)
                return
            scope["route"] = route  # at once: the router takes as long as all else about a short text
            response = await route.endpoint(Request(scope, receive))
            await response(scope, receive, send)

        return app

    def _routes(self) -> list[Route]:
        post = ["POST"]
        return [
            Route("/v1/embeddings", self.openai_embeddings, methods=post),
            Route("/v1/models", self.openai_models),
            Route("/v1/models/{name:path}", self.openai_model),
            Route("/embed", self.tei_embed, methods=post),
            Route("/", self.tei_embed, methods=post),
            Route("/tokenize", self.tei_tokenize, methods=post),
            Route("/info", self.tei_info),
            Route("/v2", self.kserve_server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route("/v2/models/{name}", self.kserve_model),
            Route("/v2/models/{name}/ready", self.kserve_ready),
            Route("/v2/models/{name}/infer", self.kserve_infer, methods=post),
            Route("/livez", self.live),
            Route("/readyz", self.ready),
            Route("/health", self.live),
            Route("/metrics", self.metrics),
            Route("/admin/reload", self.reload, methods=post),
        ]

    # OpenAI

    async def openai_embeddings(self, request: Request) -> Response:
        asked = await self._bodies.decoded(request, OpenAiRequest)
        model = self._models.named(asked.model)
        texts = listed(asked.input, "input")
        check_dimensions(asked.dimensions, model.hidden_size)
        found = await self._embed(request, model, texts, asked.truncate)
        return await _written(lambda: openai_answer(asked, found.vectors, found.tokens), len(texts))

    async def openai_models(self, request: Request) -> Response:
        return json_response({"object": "list", "data": [self._card(model.name) for model in self._models]})

    async def openai_model(self, request: Request) -> Response:
        return json_response(self._card(self._models.named(request.path_params["name"]).name))

    def _card(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "lam-export"}

    # text-embeddings-inference

    async def tei_embed(self, request: Request) -> Response:
        asked = await self._bodies.decoded(request, TeiRequest)
        model = self._models.first
        texts = listed(asked.inputs, "inputs")
        check_dimensions(asked.dimensions, model.hidden_size)
        if (
            asked.normalize is False
            or asked.prompt_name is not None
            or asked.truncation_direction not in (None, "right", "Right")
        ):
            raise ApiError(
                422,
                "expected neither normalize false, nor prompt_name, nor truncation_direction left: this model's "
                "embeddings have unit length, and it has no prompts; leave them out",
            )
        found = await self._embed(request, model, texts, asked.truncate)
        return await _written(lambda: found.vectors, len(texts))

    async def tei_tokenize(self, request: Request) -> Response:
        asked = await self._bodies.decoded(request, TokenizeRequest)
        model = self._models.first
        texts = listed(asked.inputs, "inputs")
        most = model.max_tokens * BYTES_PER_TOKEN
        if any(len(text) > most for text in texts):
            raise ApiError(413, f"expected texts of at most {most:,} characters, found a longer one; cut it")
        found = await model.tokenize(texts, special=asked.add_special_tokens is not False)
        return await _written(lambda: [_tokens(encoding) for encoding in found], MAX_TEXTS)

    async def tei_info(self, request: Request) -> Response:
        model = self._models.first
        return json_response(
            {
                "model_id": model.name,
                "model_sha": model.engine.bundle.manifest.files[model.engine.file].sha256,
                "model_dtype": {"fp32": "float32", "fp16": "float16"}.get(model.labels.precision, "float32"),
                "model_type": {"embedding": {"pooling": "mean"}},
                "max_concurrent_requests": self._options.max_connections,
                "max_input_length": model.max_tokens,
                "max_batch_tokens": model.engine.default_batch_tokens,
                "max_batch_requests": None,
                "max_client_batch_size": MAX_TEXTS,
                "auto_truncate": self._options.truncation == "truncate",
                "tokenization_workers": 2,
                "version": "lam-export",
                "sha": None,
                "docker_label": None,
            }
        )

    # KServe

    async def kserve_server(self, request: Request) -> Response:
        return json_response({"name": "lam-export", "version": "2", "extensions": []})

    async def kserve_model(self, request: Request) -> Response:
        model = self._models.named(request.path_params["name"])

        def tensor(name: str, kind: str, *shape: int) -> dict[str, Any]:
            return {"name": name, "datatype": kind, "shape": [-1, *shape]}

        return json_response(
            {
                "name": model.name,
                "versions": ["1"],
                "max_batch_size": MAX_TEXTS,
                "platform": "lam-export",
                "inputs": [tensor(TEXT, "BYTES", 1)],
                "outputs": [
                    tensor(SENTENCE_EMBEDDING, "FP32", model.hidden_size),
                    tensor(TOKEN_COUNT, "INT32", 1),
                    tensor(TRUNCATED, "BOOL", 1),
                ],
            }
        )

    async def kserve_ready(self, request: Request) -> Response:
        return json_response({"name": self._models.named(request.path_params["name"]).name, "ready": True})

    async def kserve_infer(self, request: Request) -> Response:
        if "inference-header-content-length" in request.headers:
            raise ApiError(400, "expected tensors in JSON, found the binary extension (set binary_data=False)")
        asked = await self._bodies.decoded(request, KserveRequest)
        model = self._models.named(request.path_params["name"])
        if [(tensor.name, tensor.datatype) for tensor in asked.inputs] != [(TEXT, "BYTES")]:
            raise ApiError(400, f"expected one input, {TEXT} of BYTES; see /v2/models/{model.name}")
        given = asked.inputs[0]
        if given.shape not in ([len(given.data)], [len(given.data), 1]):
            raise ApiError(
                400, f"expected {TEXT} of shape [{len(given.data)}, 1] for its data, found {given.shape[:8]}"
            )
        found = await self._embed(request, model, listed(given.data, TEXT), None)
        values = {
            SENTENCE_EMBEDDING: ("FP32", found.vectors),
            TOKEN_COUNT: ("INT32", found.tokens[:, None]),
            TRUNCATED: ("BOOL", found.truncated[:, None]),
        }
        names = [output.name for output in asked.outputs or ()] or list(values)
        if unknown := set(names) - set(values):
            raise ApiError(400, f"expected outputs among {', '.join(values)}, found {sorted(unknown)[0][:100]!r}")
        outputs = [
            {"name": name, "datatype": values[name][0], "shape": values[name][1].shape, "data": values[name][1].ravel()}
            for name in names
        ]
        answer = {"model_name": model.name, "model_version": "1", "outputs": outputs}
        return await _written(lambda: answer | ({"id": asked.id} if asked.id else {}), len(given.data))

    # The server's own

    async def live(self, request: Request) -> Response:
        """Whether batches are computed. A restart helps if not."""
        if all(model.moves for model in self._models):
            return json_response({"status": "ok"})
        raise ApiError(503, "a batch does not end; restart the server")

    async def ready(self, request: Request) -> Response:
        """Whether new requests should come here."""
        if self._state.draining:
            raise ApiError(503, "the server is being stopped")
        if busy := [model.name for model in self._models if model.overloaded]:
            raise ApiError(503, f"too many texts wait for {', '.join(busy)}")
        return await self.live(request)

    async def metrics(self, request: Request) -> Response:
        for model in self._models:
            self._metrics.waiting_tokens.labels(*model.labels.values).set(model.waiting_tokens)
            self._metrics.waiting_seconds.labels(*model.labels.values).set(model.waiting_seconds)
        content = await asyncio.to_thread(exposition.generate_latest, self._metrics.registry)
        return Response(content, media_type=exposition.CONTENT_TYPE_LATEST)

    async def reload(self, request: Request) -> Response:
        given = request.headers.get("x-admin-key", "")
        if self._options.admin_key is None:
            raise ApiError(403, "expected a server with an admin key; start it with LAM_ADMIN_KEY set")
        if not hmac.compare_digest(given.encode(), self._options.admin_key.encode()):
            raise ApiError(403, "expected the admin key in the header x-admin-key")
        try:
            await self._models.reload()
        except LamError as error:
            raise ApiError(409, f"nothing was changed: {error}") from None
        return json_response({"reloaded": [model.name for model in self._models]})

    async def _embed(self, request: Request, model: HttpModel, texts: Sequence[str], truncate: bool | None) -> Embedded:
        facts = request.state.facts
        facts.update(model=model.name, texts=len(texts))
        found = await model.embed(texts, truncate=truncate)
        facts.update(tokens=int(found.tokens.sum()), truncated=int(found.truncated.sum()))
        facts.update(begun=found.begun, seconds_in=found.seconds)
        return found


async def _written(content: Callable[[], Any], texts: int) -> Response:
    """The answer to so many texts: in another thread if they are many, because writing them takes milliseconds."""
    if texts <= _AT_ONCE:
        return json_response(content())
    return await asyncio.to_thread(lambda: json_response(content()))


def _tokens(encoding: Any) -> list[dict[str, Any]]:
    rows = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
    return [
        {
            "id": number,
            "text": token,
            "special": bool(special),
            "start": None if special else offsets[0],
            "stop": None if special else offsets[1],
        }
        for number, token, special, offsets in rows
    ]
