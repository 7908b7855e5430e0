"""What Prometheus sees: what was spent by the bucket's ledger, the rest by this process."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily

from momalisa.service.ledger import Totals

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Of one process; a registry of its own, so that tests and processes do not share any."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._totals = _TotalsCollector()
        self._registry.register(self._totals)
        self.found_frames = Counter(
            "momalisa_found_frames", "Frames that were in the bucket already", registry=self._registry
        )
        self.lost_chunks = Counter("momalisa_lost_chunks", "Chunks whose renderer died", registry=self._registry)
        self.refused_configs = Counter(
            "momalisa_refused_configs", "Configurations that were not taken; the old one stays", registry=self._registry
        )
        self.swept_objects = Counter(
            "momalisa_swept_objects", "Objects that nothing referred to any more", registry=self._registry
        )
        self.queued_chunks = Gauge("momalisa_queued_chunks", "Chunks that wait for a renderer", registry=self._registry)
        self.is_config_refused = Gauge(
            "momalisa_is_config_refused",
            "1 while a part's newest configuration is refused and the one before it holds",
            ("part",),
            registry=self._registry,
        )
        self.is_config_pending = Gauge(
            "momalisa_is_config_pending",
            "1 while the newest configuration is being tried, and the one before it holds",
            registry=self._registry,
        )
        for part in ("conductor", "gateway"):
            self.is_config_refused.labels(part).set(0)
        self.live_works = Gauge("momalisa_live_works", "Works that are not ended", registry=self._registry)
        self.oldest_queued_seconds = Gauge(
            "momalisa_oldest_queued_seconds",
            "How long the work has waited for its first frame that has waited for longest",
            registry=self._registry,
        )
        self.oldest_work_seconds = Gauge(
            "momalisa_oldest_work_seconds", "How long the oldest work has been led", registry=self._registry
        )
        self.is_ready = Gauge(
            "momalisa_is_ready", "1 once a model has drawn a picture since the start", registry=self._registry
        )
        self.renderer_slots = Gauge(
            "momalisa_renderer_slots", "Chunks that may be with renderers at once", registry=self._registry
        )
        self.first_frame_seconds = Histogram(
            "momalisa_first_frame_seconds", "From request to first frame", buckets=_SECONDS, registry=self._registry
        )
        self.work_seconds = Histogram(
            "momalisa_work_seconds", "From request to animation", buckets=_SECONDS, registry=self._registry
        )
        self.stage_seconds = Histogram(
            "momalisa_stage_seconds", "Of a work's stages", ["stage"], buckets=_SECONDS, registry=self._registry
        )

    def text(self, totals: Totals) -> str:
        """In Prometheus's text format."""
        self._totals.totals = totals
        return generate_latest(self._registry).decode()


class _TotalsCollector:
    def __init__(self) -> None:
        self.totals = Totals()

    def collect(self) -> Iterator[Any]:
        totals = self.totals
        works = CounterMetricFamily("momalisa_works", "Works that ended, by how", labels=["state"])
        for state in ("done", "failed", "cancelled"):
            works.add_metric([state], totals.ends[state])
        yield works
        yield CounterMetricFamily("momalisa_rendered_frames", "Frames that were rendered", value=totals.num_rendered)
        yield CounterMetricFamily(
            "momalisa_frames_drawn_twice",
            "Of them, those that somebody else had drawn meanwhile",
            value=totals.num_drawn_twice,
        )
        yield CounterMetricFamily(
            "momalisa_unet_evaluations", "Latents that went through the UNet", value=totals.unet_evaluations
        )
        yield CounterMetricFamily(
            "momalisa_renderer_seconds", "Seconds in which renderers drew", value=totals.renderer_seconds
        )
