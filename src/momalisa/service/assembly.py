"""What an assembler does: frames in the bucket become animations and reports in the bucket."""

import json
import logging
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from momalisa.service.crew import AssemblyResult
from momalisa.service.port import Derived
from momalisa.service.records import Manifest
from momalisa.storage import Store, open_store
from momalisa.storage.backend import run_parallel
from momalisa.walk.animation import Animation, write_animation
from momalisa.walk.course import Walk
from momalisa.walk.frames import StoredFrames, picture_key
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.provenance import provenance_of
from momalisa.walk.report import WalkReport, in_strip, plot_report, report_of, write_report

_LOGGER = logging.getLogger(__name__)
_PROVENANCE, _REPORT, _GIF = "provenance.json", "report.json", "animation.gif"


def assemble(store: Store, work: str, walk: Walk, facts: ModelFacts) -> AssemblyResult:
    """Writes a walk's GIF, its report's figures, and how it was made."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = _fetched(store, walk.shown, folder)
        report = report_of(walk, frames, seconds=0.0)
        provenance = provenance_of(walk, facts.rendition(walk.request), walk.pictures(frames))
        animation = Animation(
            frames=partial(walk.pictures, frames), durations_s=walk.durations_s, text=provenance.to_text()
        )
        write_animation(animation, folder / _GIF)
        (folder / _PROVENANCE).write_text(animation.text)
        write_report(report, walk, frames, folder / _REPORT)
        files = (_GIF, _PROVENANCE, _REPORT)
        run_parallel([partial(store.upload, folder / file, f"works/{work}/{file}") for file in files])
    figures = {name: float(value) for name, value in asdict(report).items()}
    seconds = time.monotonic() - began
    _LOGGER.info("an animation of %d frames", report.num_frames, extra={"seconds": round(seconds, 3)})
    return AssemblyResult(report={**figures, "assembly_seconds": seconds})


def derive(store: Store, work: str, manifest: Manifest, file: Derived) -> None:
    """Writes another animation or picture of a work that is done."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if file == "report.png":
            picked = [manifest.addresses[i] for i in in_strip(manifest.addresses)]
            frames = _fetched(store, picked, folder)
            report = WalkReport(**json.loads(store.read_bytes(f"works/{work}/{_REPORT}")))
            plot_report(report, manifest.distances, [frames.pixels(address) for address in picked], folder / file)
        else:
            frames = _fetched(store, manifest.addresses, folder)
            animation = Animation(
                frames=lambda: (frames.pixels(address) for address in manifest.addresses),
                durations_s=manifest.durations_s,
                text=store.read_bytes(f"works/{work}/{_PROVENANCE}").decode(),
            )
            write_animation(animation, folder / file)
        store.upload(folder / file, f"works/{work}/{file}")


def _fetched(store: Store, addresses: Iterable[str], folder: Path) -> StoredFrames:
    """Frames' pictures, which are gone through several times, brought here all at once."""

    def fetch(key: str) -> None:
        (folder / key).write_bytes(store.read_bytes(f"frames/{key}"))

    run_parallel([partial(fetch, picture_key(address)) for address in set(addresses)])
    return StoredFrames(open_store(folder))
