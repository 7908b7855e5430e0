"""How many renderers there are."""

from typing import Any

from ray.serve.config import AutoscalingContext

from momalisa.service.on_ray.handles import CHUNKS_PER_RENDERER

QUEUED = "queued_chunks"
"""The figure that renderers report: chunks in the conductor's queue."""
CHUNKS_A_RENDERER_IS_WORTH = 4
"""So many chunks that wait call for one renderer more."""


def scale_renderers(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """A policy of Ray Serve: as many renderers as the conductor's queue calls for.

    Serve sees only what it has been given, two chunks to a renderer; how many more there are comes with the chunks.
    """
    told = context.aggregated_metrics.get(QUEUED, {}) if context.aggregated_metrics else {}
    queued = max(told.values(), default=0.0)
    with_renderers = context.total_num_requests
    if not queued and not with_renderers:
        wanted = 0
    else:
        busy = -(-with_renderers // CHUNKS_PER_RENDERER)
        wanted = int(max(1, busy) + queued // CHUNKS_A_RENDERER_IS_WORTH)
    low, high = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return min(max(wanted, low), high), {}
