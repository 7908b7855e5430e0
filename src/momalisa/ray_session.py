"""The Ray that a job runs on: the one that is there, else one of this machine for as long as the job lasts."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ray_session(*, num_cpus: int | None = None, object_store_mib: int | None = None) -> Iterator[None]:
    """A running Ray, or that at RAY_ADDRESS; else one is started with so many CPUs, and stopped in the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    local: dict[str, Any] = {}
    if not os.environ.get("RAY_ADDRESS"):
        local = {"num_cpus": num_cpus or os.cpu_count(), "include_dashboard": False}
        if object_store_mib is not None:
            local["object_store_memory"] = object_store_mib * 2**20
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
    try:
        yield
    finally:
        ray.shutdown()
