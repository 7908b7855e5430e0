"""Reports of walks that were made elsewhere: only those of the two models and of one walk are compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from momalisa.config import to_dict
from momalisa.diffusion.loading import fingerprint_model, resolve_model
from momalisa.errors import ConfigError
from momalisa.export_manifest import MANIFEST_FILE, ExportManifest
from momalisa.release.promotion import read_candidate
from momalisa.release.trial_walks import Comparison, Subject
from momalisa.release.trial_walks_reported import reported_walks, weights_of
from momalisa.storage import open_store, sha256_bytes
from momalisa.walk.request import WalkRequest, Waypoint
from tests.unit.release.test_promotion import make_run

FIGURES = {"evenness": 0.9, "ghost_share": 0.0, "mean_distance": 1.0, "max_distance": 1.5, "sharpness": 9}
OURS = {"unet": sha256_bytes(b"weights"), "configuration": "1"}
MOMA = Subject(uri="hub/moma", revision="abc")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def report(model: str, fingerprints: dict[str, str], *prompts: str, ruler: str = "decoder", **changes: Any) -> str:
    """As `momalisa walk --report` writes it."""
    waypoints = tuple(Waypoint(prompt=prompt) for prompt in prompts or ("a", "b"))
    said = to_dict(WalkRequest(waypoints=waypoints, model=model, **changes))
    return json.dumps({**FIGURES, "walk": {"request": said, "fingerprints": fingerprints, "ruler": ruler}})


def theirs(*prompts: str, **changes: Any) -> str:
    return report("hub/moma", {"unet": "12"}, *prompts, **{"revision": "abc", **changes})


def compared(run: Path, ours: str, other: str, *prompts: str, against: Subject = MOMA) -> Comparison:
    for name, content in (("ours.json", ours), ("theirs.json", other)):
        (run.parent / name).write_text(content)
    reports = (str(run.parent / "ours.json"), str(run.parent / "theirs.json"))
    return reported_walks(reports, read_candidate(open_store(run)), against, prompts)


def test_reports_of_both_models_and_of_one_walk_are_compared(run: Path) -> None:
    found = compared(run, report("/on/a/gpu/export", OURS), theirs(frames_per_second=8), "a", "b")
    assert not found.problems
    assert (found.walk.figures.evenness, found.against) == (0.9, MOMA)
    assert found.walk.request is not None
    assert found.walk.request.model == "/on/a/gpu/export"


@pytest.mark.parametrize(
    ("ours", "other", "message"),
    [
        (theirs(), theirs(), r"ours.json is of a walk by hub/moma at abc, with another unet than .*/run/export: make"),
        (
            report("export", {"unet": "34"}),
            theirs(),
            r"by export, with another unet than .*/run/export: make it again, momalisa walk … --model file://.*/export",
        ),
        (report("export", OURS), report("tiny", OURS), "by tiny, another model than hub/moma at abc: make it again"),
        (report("export", OURS), theirs(revision="abd"), "by hub/moma at abd, another .* --revision abc --report"),
        (report("export", OURS), theirs("a", "c"), r"theirs.json is of a walk from 'a' to 'c': .* momalisa walk a b …"),
        (report("export", OURS), theirs(seed=3, num_frames=30), "differ in num_frames, seed: make both by the same"),
        (report("export", OURS), theirs(ruler="lpips"), "two kinds, decoder and lpips: make both with the same"),
        (report("export", OURS, num_frames=2), theirs(), "of 2 frames, too few to be uneven: .* --frames 24 or more"),
        (report("export", OURS).replace("num_frames", "num_frame"), theirs(), "did you mean num_frames"),
    ],
)
def test_reports_of_anything_else_are_refused_with_the_fix(run: Path, ours: str, other: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compared(run, ours, other)


def test_prompts_that_are_wanted_are_of_both(run: Path) -> None:
    with pytest.raises(ConfigError, match="momalisa walk 'a green' b … --report"):
        compared(run, report("export", OURS), theirs(), "a green", "b")


def test_a_promoted_model_is_known_by_its_weights_wherever_it_lies(run: Path, tmp_path: Path) -> None:
    served = tmp_path / "models" / "12"
    (served / "unet").mkdir(parents=True)
    (served / "unet" / "model.safetensors").write_bytes(b"served")
    (served / MANIFEST_FILE).write_text(ExportManifest.of(served).model_dump_json())
    against, weights = Subject(uri=f"file://{served}"), {"unet": sha256_bytes(b"served")}
    ours = report("export", OURS)
    assert not compared(run, ours, report("gs://museum/models/12", weights), against=against).problems
    with pytest.raises(ConfigError, match=r"theirs\.json is of a walk by .*, with another unet than"):
        compared(run, ours, report(f"file://{served}", OURS), against=against)


def test_an_older_report_is_no_reason_not_to_look_at_the_other(run: Path) -> None:
    older = json.dumps(FIGURES)
    assert [problem.split(" ")[0] for problem in compared(run, report("export", OURS), older).problems] == [
        f"file://{run.parent}/theirs.json"
    ]
    with pytest.raises(ConfigError, match=r"theirs\.json is of a walk by tiny"):
        compared(run, older, report("tiny", OURS))


def test_weights_are_known_by_the_manifest_as_they_are_by_the_files(tmp_path: Path) -> None:
    tiny = resolve_model("tiny")
    assert weights_of(ExportManifest.of(tiny)) == fingerprint_model(tiny, "tiny")
    for part in ("text_encoder", "vae", "unet"):
        (tmp_path / part).mkdir()
        for number in (1, 2):
            (tmp_path / part / f"model-{number}.safetensors").write_bytes(b"%d" % number)
    assert weights_of(ExportManifest.of(tmp_path)) == fingerprint_model(tmp_path, "sharded")
