"""OpenTelemetry's traces: a span for every request, and one for each stage of it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from ...errors import EngineError, installing

Trace = Callable[[Mapping[str, str], dict[str, Any]], AbstractContextManager[None]]


@contextmanager
def no_trace(headers: Mapping[str, str], facts: dict[str, Any]) -> Iterator[None]:
    """The span of a server without tracing."""
    yield


def open_tracing(stack: ExitStack) -> Trace:
    """A function that makes a request's spans, below the caller's (``traceparent``). ``stack`` sends the last ones.

    Where to send it, its name and sampling come from the ordinary variables: ``OTEL_EXPORTER_OTLP_ENDPOINT``,
    ``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER`` and the others.

    Raises:
        EngineError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.propagate import extract
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
    except ImportError:
        raise EngineError(f"expected OpenTelemetry for --tracing, found none; run: {installing('tracing')}") from None
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    stack.callback(provider.shutdown)
    tracer = provider.get_tracer("lam_engines.serving.http")

    @contextmanager
    def trace(headers: Mapping[str, str], facts: dict[str, Any]) -> Iterator[None]:
        with tracer.start_as_current_span("request", context=extract(headers), kind=SpanKind.SERVER) as span:
            yield
            span.update_name(f"{facts['method']} {facts['path']}")
            span.set_attributes(
                {
                    "http.request.method": facts["method"],
                    "http.route": facts["path"],
                    "http.response.status_code": facts["status"],
                    "lam.request_id": facts["id"],
                    **{f"lam.{key}": facts[key] for key in ("model", "texts", "tokens") if key in facts},
                }
            )
            # From the monotonic clock to nanoseconds since 1970.
            moment = time.time_ns() + round((facts.get("begun", 0.0) - time.monotonic()) * 1e9)
            for stage, took in facts.get("seconds_in", {}).items():
                tracer.start_span(stage, start_time=moment).end(moment := moment + round(took * 1e9))
            if facts["status"] >= 500:
                span.set_status(Status(StatusCode.ERROR))

    return trace
