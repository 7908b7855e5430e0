"""Logs and traces of replicas: Serve's own, with our ids.

Serve traces calls from replica to replica where `tracing_config` says so: `serve.start`, a RayService's
`serveConfigV2`, or the environment's RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from momalisa.errors import ConfigError
from momalisa.service.log_ids import IdsFilter, noted

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_OURS, _SERVES = "momalisa", "ray.serve"


def log_as_serve_does() -> None:
    """In a replica: our lines go to Serve's files, in its form (JSON by default), with our ids."""
    ours, serves = logging.getLogger(_OURS), logging.getLogger(_SERVES)
    for handler in serves.handlers:
        if not any(isinstance(known, IdsFilter) for known in handler.filters):
            handler.addFilter(IdsFilter())
    ours.handlers, ours.propagate = serves.handlers, False
    ours.setLevel(logging.INFO)


def with_ids(
    method: Callable[Concatenate[S, P], Awaitable[R]],
) -> Callable[Concatenate[S, Mapping[str, str], P], Awaitable[R]]:
    """A replica's method that is first given what the caller's lines of the log are of: so are its own."""

    @wraps(method)
    async def wrapped(self: S, ids: Mapping[str, str], /, *args: P.args, **kwargs: P.kwargs) -> R:
        with noted(**ids):
            return await method(self, *args, **kwargs)

    return wrapped


def otlp_exporter() -> list[Any]:
    """For `tracing_config.exporter_import_path`: spans go to the collector that the environment names
    (OTEL_EXPORTER_OTLP_ENDPOINT, by HTTP). Raises ConfigError where OpenTelemetry's exporter is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as e:
        raise ConfigError("traces need an exporter: pip install 'momalisa[traces]'") from e
    return [BatchSpanProcessor(OTLPSpanExporter())]
