"""What Prometheus sees."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Of one process; a registry of its own, so that tests and processes do not share any."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.works = Counter("momalisa_works", "Works that ended, by how", ["state"], registry=self._registry)
        self.frames = Counter(
            "momalisa_frames", "Frames, rendered or found in the bucket", ["by"], registry=self._registry
        )
        self.unet_evaluations = Counter(
            "momalisa_unet_evaluations", "Latents that went through the UNet", registry=self._registry
        )
        self.renderer_seconds = Counter(
            "momalisa_renderer_seconds", "Seconds in which renderers drew", registry=self._registry
        )
        self.lost_chunks = Counter("momalisa_lost_chunks", "Chunks whose renderer died", registry=self._registry)
        self.queued_chunks = Gauge("momalisa_queued_chunks", "Chunks that wait for a renderer", registry=self._registry)
        self.live_works = Gauge("momalisa_live_works", "Works that are not ended", registry=self._registry)
        self.first_frame_seconds = Histogram(
            "momalisa_first_frame_seconds", "From request to first frame", buckets=_SECONDS, registry=self._registry
        )
        self.work_seconds = Histogram(
            "momalisa_work_seconds", "From request to animation", buckets=_SECONDS, registry=self._registry
        )

    def text(self) -> str:
        """In Prometheus's text format."""
        return generate_latest(self._registry).decode()
