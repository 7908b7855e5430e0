"""A collector of OpenTelemetry's spans, over HTTP, that remembers them."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """What of a span tests look at."""

    name: str
    trace_id: str
    attributes: dict[str, str]


@dataclass(slots=True)
class Collector:
    """Its address, and what it was told."""

    url: str = ""
    received: list[Span] = field(default_factory=list)


@contextmanager
def collector() -> Iterator[Collector]:
    """Listens for as long as the block."""
    told = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            told.received.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes = {each.key: each.value.string_value for each in span.attributes}
                yield Span(name=span.name, trace_id=span.trace_id.hex(), attributes=attributes)
