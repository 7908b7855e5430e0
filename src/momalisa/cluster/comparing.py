"""Two runs side by side: config, data, model, versions, and what came of them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from momalisa.cluster.facts import RunFacts
from momalisa.config import differing_keys
from momalisa.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same."""

    section: str
    key: str
    first: Any
    second: Any

    def in_words(self) -> str:
        """`optimizer.learning_rate: 1e-05 → 2e-05`."""
        change = _change(self.first, self.second) if self.section == "metrics" else ""
        return f"{self.key}: {_shown(self.first)} → {_shown(self.second)}{change}"


def compare(first: RunFacts, second: RunFacts) -> list[Difference]:
    """All that differs. Raises ConfigError for a folder without a run."""
    records = [_record(run) for run in (first, second)]
    found = []
    for section, one, two in zip(_SECTIONS, _sections(records[0], first), _sections(records[1], second), strict=True):
        found += [Difference(section, key, a, b) for key, (a, b) in differing_keys(one, two).items()]
    return found


def in_words(first: RunFacts, second: RunFacts, found: list[Difference]) -> str:
    """A paragraph for each section that differs."""
    lines = [f"{first.uri}  →  {second.uri}"]
    for section in _SECTIONS:
        differing = [each for each in found if each.section == section]
        lines.append(f"{section}:{'' if differing else ' the same'}")
        lines += [f"  {each.in_words()}" for each in differing]
    return "\n".join(lines)


_SECTIONS = ("config", "data", "model", "versions", "metrics")


def _sections(record: Mapping[str, Any], run: RunFacts) -> Iterator[Mapping[str, Any]]:
    newest = (record.get("attempts") or [{}])[-1]
    yield record["config"]
    yield {"uri": record["data_uri"], "fingerprint": record["dataset_fingerprint"]}
    yield record["model_fingerprints"]
    yield {**newest.get("versions", {}), "git commit": newest.get("git_commit")}
    yield _metrics(run)


def _metrics(run: RunFacts) -> dict[str, Any]:
    """The last value of each, and the summary's figures."""
    last: dict[str, Any] = {}
    for row in run.metrics:
        last |= {"step": row["step"], **row.get("metrics", {})}
    summary = run.summary or {}
    verdict = summary.get("verdict") or {}
    told = {
        "ended": summary.get("ended"),
        "outcome": verdict.get("outcome"),
        "wall_seconds": summary.get("wall_seconds"),
    }
    return last | {key: value for key, value in told.items() if value is not None}


def _record(run: RunFacts) -> Mapping[str, Any]:
    if run.record is None:
        raise ConfigError(f"{run.uri} holds no run.json: is it a training's output folder?")
    return run.record


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _change(first: Any, second: Any) -> str:
    numbers = [value for value in (first, second) if isinstance(value, (int, float)) and math.isfinite(value)]
    if len(numbers) < 2 or numbers[0] == 0:
        return ""
    return f" ({(numbers[1] - numbers[0]) / abs(numbers[0]):+.1%})"
