"""What an assembler does: frames in the bucket become animations and reports in the bucket."""

import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from momalisa.service.crew import AssemblyResult
from momalisa.service.records import Manifest
from momalisa.storage import Store
from momalisa.storage.backend import run_parallel
from momalisa.walk.animation import Animation, Format, write_animation
from momalisa.walk.course import Walk
from momalisa.walk.frames import StoredFrames
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.provenance import provenance_of
from momalisa.walk.report import report_of, write_report

_PROVENANCE = "provenance.json"
_REPORTS = ("report.json", "report.png")


def assemble(store: Store, work: str, walk: Walk, facts: ModelFacts) -> AssemblyResult:
    """Writes a walk's GIF, its reports, and how it was made."""
    began = time.monotonic()
    frames = StoredFrames(store.child("frames"))
    report = report_of(walk, frames, seconds=0.0)
    provenance = provenance_of(walk, facts.rendition(walk.request), walk.pictures(frames))
    animation = Animation(
        frames=partial(walk.pictures, frames), durations_s=walk.durations_s, text=provenance.to_text()
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_animation(animation, folder / "animation.gif")
        (folder / _PROVENANCE).write_text(animation.text)
        for file in _REPORTS:
            write_report(report, walk, frames, folder / file)
        files = ("animation.gif", _PROVENANCE, *_REPORTS)
        run_parallel([partial(store.upload, folder / file, f"works/{work}/{file}") for file in files])
    figures = {name: float(value) for name, value in asdict(report).items()}
    return AssemblyResult(report={**figures, "assembly_seconds": time.monotonic() - began})


def animate(store: Store, work: str, manifest: Manifest, kind: Format) -> None:
    """Writes another kind of animation of a work that is done."""
    frames = StoredFrames(store.child("frames"))
    animation = Animation(
        frames=lambda: (frames.pixels(address) for address in manifest.addresses),
        durations_s=manifest.durations_s,
        text=store.read_bytes(f"works/{work}/{_PROVENANCE}").decode(),
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"animation.{kind}"
        write_animation(animation, path)
        store.upload(path, f"works/{work}/{path.name}")
