"""What an assembler does: frames in the bucket become animations and reports in the bucket."""

import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from momalisa.service.crew import AssemblyResult
from momalisa.storage import Store
from momalisa.storage.backend import run_parallel
from momalisa.walk.animation import Animation, Format, write_animation
from momalisa.walk.course import Walk
from momalisa.walk.frames import StoredFrames
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.provenance import provenance_of
from momalisa.walk.report import report_of, write_report

_REPORTS = ("report.json", "report.png")


def assemble(store: Store, work: str, walk: Walk, facts: ModelFacts, kind: Format = "gif") -> AssemblyResult:
    """Writes a walk's animation and its reports."""
    began = time.monotonic()
    frames = StoredFrames(store.child("frames"))
    report = report_of(walk, frames, seconds=0.0)
    provenance = provenance_of(walk, facts.rendition(walk.request), walk.pictures(frames))
    animation = Animation(
        frames=partial(walk.pictures, frames), durations_s=walk.durations_s, text=provenance.to_text()
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_animation(animation, folder / f"animation.{kind}")
        for file in _REPORTS:
            write_report(report, walk, frames, folder / file)
        run_parallel(
            [partial(store.upload, folder / file, f"works/{work}/{file}") for file in (f"animation.{kind}", *_REPORTS)]
        )
    figures = {name: float(value) for name, value in asdict(report).items()}
    return AssemblyResult(report={**figures, "assembly_seconds": time.monotonic() - began})
