"""From a run's folder to models/{digest}, the record and the value change."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from momalisa import cli
from momalisa.config import to_dict
from momalisa.errors import ConfigError, IntegrityError, ModelError
from momalisa.export_manifest import MANIFEST_FILE, ExportManifest
from momalisa.release import promote_command
from momalisa.release.promotion import publish, read_candidate
from momalisa.release.trial_walks import Subject, Trial
from momalisa.release.values_change import as_file, models_in, parsed_values, with_model
from momalisa.storage import Entry, Store, open_store, sha256_bytes
from momalisa.training.summary import RunSummary
from momalisa.walk.request import WalkRequest, Waypoint
from tests.unit.release.test_gate import SMOOTH, summary

RECORD = {
    "name": "squares",
    "config": {"validation": {"prompts": ["a", "b", "c"]}},
    "data_uri": "gs://museum/shards",
    "dataset_fingerprint": "d",
    "model_fingerprints": {},
    "attempts": [
        {"started_at": "2026-11-22T10:00:00Z", "from_step": 0, "changes": {}, "versions": {}, "git_commit": None}
    ],
}
WHO = ["--by", "ada", "--why", "the autumn show"]


def write_summary(run: Path, found: RunSummary) -> None:
    """As the run that exported what is there."""
    digest = ExportManifest.of(run / "export").digest
    (run / "summary.json").write_text(found.model_copy(update={"export_digest": digest}).model_dump_json())


def make_run(folder: Path) -> Path:
    """One that ended, whose checks all pass."""
    export = folder / "export"
    (export / "unet").mkdir(parents=True)
    (export / "unet" / "model.safetensors").write_bytes(b"weights")
    (export / "model_index.json").write_text("{}")
    (export / "README.md").write_text("a card")
    (export / MANIFEST_FILE).write_text(ExportManifest.of(export).model_dump_json())
    write_summary(folder, summary())
    (folder / "run.json").write_text(json.dumps(RECORD))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture(autouse=True)
def walks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], str | None]]:
    """Which test walks were asked for, with the model's revision."""
    made: list[tuple[str, list[str], str | None]] = []

    def walk(subject: Subject, prompts: list[str]) -> Trial:
        made.append((subject.uri, prompts, subject.revision))
        waypoints = tuple(Waypoint(prompt=prompt) for prompt in prompts)
        request = WalkRequest(waypoints=waypoints, model=subject.uri, revision=subject.revision)
        return Trial(
            figures=SMOOTH, source="measured here", request=request, fingerprints={"unet": "1"}, ruler="styles"
        )

    monkeypatch.setattr(promote_command, "trial_walk", walk)
    return made


def promote(run: Path, *flags: str) -> int:
    place = run.parent
    if not {"--values", "--alone", "--unsaid"} & set(flags):
        flags = (*flags, "--alone")
    return cli.main(
        [
            "release",
            "promote",
            str(run),
            "--bucket",
            str(place / "bucket"),
            "--out",
            str(place / "models.yaml"),
            *WHO,
            *(flag for flag in flags if flag != "--unsaid"),
        ]
    )


def recorded(run: Path) -> dict[str, Any]:
    """By the only promotion so far."""
    (record,) = (run.parent / "bucket" / "promotions").iterdir()
    told: dict[str, Any] = json.loads(record.read_text())
    return told


def test_a_model_is_copied_recorded_and_named_in_the_values(
    run: Path, walks: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    values = run.parent / "values.yaml"
    values.write_text("models: [{id: tiny, uri: tiny, title: Miniature}]\n")
    assert promote(run, "--values", str(values), "--title", "Squares", "--default") == 0
    digest = ExportManifest.of(run / "export").digest
    copy = run.parent / "bucket" / "models" / digest
    assert (copy / "unet" / "model.safetensors").read_bytes() == b"weights"
    assert ExportManifest.of(copy) == ExportManifest.of(run / "export")
    change = (run.parent / "models.yaml").read_text()
    assert change.startswith(f"# Promoted by ada from {open_store(run).uri}: the autumn show\n")
    assert yaml.safe_load(change) == {
        "models": [
            {"id": "demo", "uri": open_store(copy).uri, "title": "Squares"},
            {"id": "tiny", "uri": "tiny", "title": "Miniature"},
        ]
    }
    told = recorded(run)
    assert (told["who"], told["why"], told["digest"]) == ("ada", "the autumn show", digest)
    assert [check["has_passed"] for check in told["checks"]] == [True] * 7
    assert walks == [(str(run / "export"), ["a", "b"], None), ("tiny", ["a", "b"], None)]
    assert "smoothness: passed" in capsys.readouterr().out


def test_which_models_serve_is_said_and_not_guessed(
    run: Path, walks: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    values = run.parent / "values.yaml"
    values.write_text("image: {tag: '1'}\n")
    assert promote(run, "--unsaid") == 2
    assert promote(run, "--values", str(values)) == 2
    assert "or --alone where no other is to" in capsys.readouterr().err
    assert not walks
    assert promote(run, "--values", str(values), "--alone") == 0
    assert [model["id"] for model in yaml.safe_load((run.parent / "models.yaml").read_text())["models"]] == ["demo"]
    values.write_text("models: [{id: moma, uri: hub/moma, revision: abc}]\n")
    assert promote(run, "--values", str(values), "--alone") == 2
    assert promote(run, "--values", str(values)) == 0
    assert walks[-1] == ("hub/moma", ["a", "b"], "abc")
    assert promote(run, "--values", str(values), "--against", "hub/other") == 0
    assert walks[-1] == ("hub/other", ["a", "b"], None)


def test_a_model_is_compared_with_the_one_that_it_takes_the_place_of(run: Path, walks: list[Any]) -> None:
    values = run.parent / "values.yaml"
    values.write_text("models: [{id: tiny, uri: tiny}, {id: moma, uri: hub/moma, revision: abc}]\n")
    assert promote(run, "--values", str(values), "--id", "moma") == 0
    assert walks[-1] == ("hub/moma", ["a", "b"], "abc")
    assert promote(run, "--values", str(values), "--id", "new") == 0
    assert walks[-1] == ("tiny", ["a", "b"], None)
    values.write_text("models: [{id: tiny, uri: tiny}, {id: demo, uri: hub/demo}]\n")
    assert promote(run, "--values", str(values)) == 0  # by the run's name
    assert walks[-1] == ("hub/demo", ["a", "b"], None)


def test_an_export_that_was_not_judged_is_not_served(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "export" / "README.md").write_text("of another run")
    (run / "export" / MANIFEST_FILE).unlink()
    (run / "export" / MANIFEST_FILE).write_text(ExportManifest.of(run / "export").model_dump_json())
    assert promote(run) == 3
    assert "export: FAILED" in capsys.readouterr().out
    assert promote(run, "--accept", "export") == 0


def test_again_is_the_same_model_and_another_record(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(run) == 0
    assert promote(run) == 0
    assert "is there already" in capsys.readouterr().err
    assert len(list((run.parent / "bucket" / "models").iterdir())) == 1
    assert len(list((run.parent / "bucket" / "promotions").iterdir())) == 2


def test_a_copy_that_broke_off_is_completed(run: Path) -> None:
    candidate = read_candidate(open_store(run))
    half = run.parent / "bucket" / "models" / candidate.manifest.digest
    (half / "unet").mkdir(parents=True)
    (half / "unet" / "model.safetensors").write_bytes(b"wei")
    publish(candidate, open_store(run.parent / "bucket"), say=lambda _: None)
    assert (half / "unet" / "model.safetensors").read_bytes() == b"weights"
    assert (half / MANIFEST_FILE).is_file()


@pytest.fixture
def copy(run: Path) -> Path:
    """One that is there from an earlier promotion."""
    assert promote(run) == 0
    (folder,) = (run.parent / "bucket" / "models").iterdir()
    return folder


@pytest.mark.parametrize("content", [None, b"wei", b"WEIGHTS"])
def test_of_a_copy_that_is_there_what_was_lost_or_overwritten_is_copied_again(
    run: Path, copy: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, card = copy / "unet" / "model.safetensors", (copy / "README.md").stat().st_ino
    weights.unlink()
    if content is not None:
        weights.write_bytes(content)
    assert promote(run) == 0
    assert weights.read_bytes() == b"weights"
    assert (copy / "README.md").stat().st_ino == card  # not written anew
    assert "copied again is what is lost or damaged: unet/model.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{}", '{"files": {}}'])
def test_a_copys_manifest_that_was_overwritten_is_written_anew(run: Path, copy: Path, content: str) -> None:
    (copy / MANIFEST_FILE).write_text(content)
    assert promote(run) == 0
    assert ExportManifest.model_validate_json((copy / MANIFEST_FILE).read_text()) == ExportManifest.of(copy)


def test_a_copy_with_a_file_of_somebody_elses_is_not_recorded(
    run: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "unet" / "other.safetensors").write_bytes(b"x")
    assert promote(run) == 1
    assert "unet/other.safetensors is in no manifest, and might be loaded: delete it" in capsys.readouterr().err
    assert len(list((run.parent / "bucket" / "promotions").iterdir())) == 1


def test_a_copy_is_not_read_where_the_bucket_has_checksums(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate, bucket = read_candidate(open_store(run)), open_store(run.parent / "bucket")
    uri = publish(candidate, bucket, say=lambda _: None)
    read: list[str] = []
    download = Store.download

    def noted(store: Store, key: str, local: str | Path) -> None:
        read.append(store.uri)
        download(store, key, local)

    monkeypatch.setattr(Store, "download", noted)
    publish(candidate, bucket, say=lambda _: None)
    assert set(read) == {uri}
    read.clear()
    listed = Store.list

    def summed(store: Store, prefix: str = "") -> list[Entry]:
        found = listed(store, prefix)
        return [replace(entry, checksum=f"md5:{sha256_bytes(store.read_bytes(entry.key))}") for entry in found]

    monkeypatch.setattr(Store, "list", summed)
    publish(candidate, bucket, say=lambda _: None)
    assert not read


def test_a_failed_check_stands_in_the_way(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_summary(run, summary(forgetting=None))
    assert promote(run) == 3
    assert not (run.parent / "bucket").exists()
    assert "forgetting: FAILED" in capsys.readouterr().out
    assert promote(run, "--accept", "forgetting") == 0
    assert recorded(run)["accepted"] == ["forgetting"]


def test_a_dry_run_only_checks(run: Path) -> None:
    assert promote(run, "--dry-run") == 0
    assert not (run.parent / "bucket").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("unet/model.safetensors", b"WEIGHTS", "unet/model.safetensors has another content"),
        ("unet/model.safetensors", b"more weights", "unet/model.safetensors is missing, or of another size"),
        ("unet/other.safetensors", b"x", "unet/other.safetensors is in no manifest"),
    ],
)
def test_a_changed_export_is_not_served(
    run: Path, name: str, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "export" / name).write_bytes(content)
    assert promote(run) == 3
    assert f"manifest: FAILED: {words}" in capsys.readouterr().out


def test_nobody_can_answer_for_changed_bytes(run: Path) -> None:
    (run / "export" / "unet" / "model.safetensors").write_bytes(b"WEIGHTS")
    candidate = read_candidate(open_store(run))
    with pytest.raises(IntegrityError, match="is not as its manifest says"):
        publish(candidate, open_store(run.parent / "bucket"), say=lambda _: None)
    assert not list((run.parent / "bucket").rglob(MANIFEST_FILE))


def test_an_older_export_has_no_manifest_and_may_be_accepted(run: Path) -> None:
    (run / "export" / MANIFEST_FILE).unlink()
    assert read_candidate(open_store(run)).problems == ("the run wrote no manifest.json: it is of an older momalisa",)
    assert promote(run) == 3
    assert promote(run, "--accept", "manifest", "--accept", "smoothness") == 0
    assert list((run.parent / "bucket").rglob(MANIFEST_FILE))


def test_what_cannot_be_served_is_refused(run: Path) -> None:
    (run / "export" / "model_index.json").unlink()
    with pytest.raises(ModelError, match="adapters alone"):
        read_candidate(open_store(run))
    (run / "summary.json").unlink()
    with pytest.raises(ConfigError, match="is no run that ended"):
        read_candidate(open_store(run))


def test_the_record_tells_what_was_compared(run: Path) -> None:
    values = run.parent / "values.yaml"
    values.write_text("models: [{id: moma, uri: hub/moma, revision: abc}]\n")
    assert promote(run, "--values", str(values), "--prompt", "x", "--prompt", "y") == 0
    told = recorded(run)["comparison"]
    assert told["against"] == {"uri": "hub/moma", "revision": "abc"}
    for name, model in (("walk", str(run / "export")), ("other", "hub/moma")):
        assert told[name]["request"]["model"] == model
        assert [waypoint["prompt"] for waypoint in told[name]["request"]["waypoints"]] == ["x", "y"]
        assert told[name]["figures"]["evenness"] == SMOOTH.evenness
        assert told[name]["figures_from"] == "measured here"


def test_the_record_tells_that_nothing_was_compared(run: Path) -> None:
    assert promote(run, "--accept", "smoothness") == 0
    assert recorded(run)["comparison"] is None


def test_walks_may_have_been_made_elsewhere(run: Path, walks: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    report = {"evenness": 0.9, "ghost_share": 0.0, "mean_distance": 1.0, "max_distance": 1.5, "sharpness": 9}
    ours, theirs = run.parent / "ours.json", run.parent / "theirs.json"
    flags = ["--walk-report", str(ours), "--serving-report", str(theirs)]
    for model, file in (("elsewhere/export", ours), ("tiny", theirs)):
        request = to_dict(WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b")), model=model))
        walk = {"request": request, "fingerprints": {"unet": sha256_bytes(b"weights")}, "ruler": "styles"}
        file.write_text(json.dumps({**report, "walk": walk}))
    assert promote(run, *flags) == 0
    told = recorded(run)["comparison"]
    assert [told[name]["figures_from"] for name in ("walk", "other")] == [f"file://{ours}", f"file://{theirs}"]
    assert promote(run, *flags, "--prompt", "x", "--prompt", "y") == 2
    assert "momalisa walk x y … --report FILE.json" in capsys.readouterr().err
    ours.write_text(json.dumps({**json.loads(ours.read_text()), "evenness": 0.5}))
    assert promote(run, *flags) == 3
    assert promote(run, *flags[:2]) == 2
    ours.write_text("{}")
    assert promote(run, *flags) == 2
    assert not walks


def test_reports_that_do_not_say_what_they_are_of_are_somebodys_to_answer_for(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run.parent / "report.json"
    report.write_text(
        json.dumps({"evenness": 0.9, "ghost_share": 0, "mean_distance": 1, "max_distance": 1, "sharpness": 9})
    )
    flags = ["--walk-report", str(report), "--serving-report", str(report)]
    assert promote(run, *flags) == 3
    words = f"smoothness: FAILED: file://{report} does not say which model and prompts it is of: make it again"
    assert words in capsys.readouterr().out
    assert promote(run, *flags, "--accept", "smoothness") == 0
    told = recorded(run)
    assert told["accepted"] == ["smoothness"]
    assert told["comparison"]["walk"]["request"] is None
    assert told["comparison"]["walk"]["figures_from"] == f"file://{report}"


def test_a_model_takes_its_place_and_keeps_what_else_is_said_of_it() -> None:
    models = [{"id": "tiny", "uri": "tiny"}, {"id": "moma", "uri": "hub/moma", "revision": "1", "title": "MoMA"}]
    changed = with_model(models, {"id": "moma", "uri": "gs://m"}, as_default=False)
    assert changed == [models[0], {"id": "moma", "uri": "gs://m", "title": "MoMA"}]
    assert with_model(models, {"id": "new", "uri": "gs://n"}, as_default=False)[2] == {"id": "new", "uri": "gs://n"}
    assert [one["id"] for one in with_model(models, {"id": "moma", "uri": "gs://m"}, as_default=True)] == [
        "moma",
        "tiny",
    ]


def test_values_are_read_as_helm_does_the_last_wins() -> None:
    assert models_in([{"models": [{"id": "a"}]}, {"models": [{"id": "b"}]}, {}]) == [{"id": "b"}]
    assert models_in([{}]) is None
    with pytest.raises(ConfigError, match="no list of models"):
        models_in([{"models": {"a": {}}}])
    with pytest.raises(ConfigError, match="is no YAML"):
        parsed_values("a: [", "values.yaml")
    with pytest.raises(ConfigError, match="holds no values"):
        parsed_values("[]", "values.yaml")


def test_a_comment_cannot_become_a_value() -> None:
    text = as_file([{"id": "a", "uri": "b"}], "why\nmodels: []")
    assert yaml.safe_load(text) == {"models": [{"id": "a", "uri": "b"}]}
