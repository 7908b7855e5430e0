"""Where a run's metrics go: always `metrics.jsonl`, and the trackers that were asked for."""

from momalisa.training.tracking.backends import check_backends
from momalisa.training.tracking.metrics import METRICS_FILE, Metric, read_metrics
from momalisa.training.tracking.tracker import TRACKING_FILE, Tracker

__all__ = ["METRICS_FILE", "TRACKING_FILE", "Metric", "Tracker", "check_backends", "read_metrics"]
