"""Facts of jobs, as YAML files beside this: the shapes that KubeRay 1.6 and Kubernetes 1.34 give."""

from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from momalisa.cluster.facts import JobFacts, RunFacts
from momalisa.cluster.pods import parse_time
from momalisa.job_folder import ExitRecord

FOLDER = Path(__file__).parent / "facts"
CASES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(case: str) -> tuple[JobFacts, dict[str, Any]]:
    """A case's facts, and what its verdict must be."""
    data: dict[str, Any] = yaml.safe_load((FOLDER / f"{case}.yaml").read_text())
    expected = data.pop("verdict")
    run = data.pop("run", None)
    if run is not None:
        recorded = run.pop("exit", None)
        run = RunFacts(**run, exit=ExitRecord.model_validate(recorded) if recorded else None)
    now = data.pop("now")
    job = data.get("job") or {"metadata": {}}
    return (
        JobFacts(
            name=data.pop("name", None) or job["metadata"].get("name", "sketch-7"),
            namespace="momalisa",
            now=now if isinstance(now, datetime) else parse_time(now),
            run=run,
            **data,
        ),
        expected,
    )
