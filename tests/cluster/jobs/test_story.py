"""From artworks to a walk, by somebody who has the submitter's Role alone and `make`."""

import io
import json
import re
import subprocess

from PIL import Image

from tests.cluster.api import Manifest, condition
from tests.cluster.gcs import ClusterGcs
from tests.cluster.jobs.small import place_flags, put_artworks
from tests.cluster.person import Person, Said
from tests.support.kustomized import kubectl
from tests.support.runs import SMALL

_JOB_S = 300
_WORKERS = 2
_SETTINGS = (*SMALL, "data.resolution=64", "max_steps=6", "validation.every_steps=6", "checkpoint.every_steps=3")
_REQUEST = {"id": "dots", "prompts": ["blue dots on yellow", "red stripes on white"], "num_frames": 4}


def test_from_artworks_to_a_walk(person: Person, gcs: ClusterGcs, bucket: str) -> None:
    put_artworks(gcs, f"{bucket}/artworks", 24)
    _prepare(person, gcs, bucket)
    _train(person, gcs, bucket)
    _told_by_kubectl_alone(person)
    _told_when_all_is_gone(person, bucket)
    _walk(person, gcs, bucket)


def _prepare(person: Person, gcs: ClusterGcs, bucket: str) -> None:
    flags = "--caption-template '{title} by {artist}' --validation-share 0.25 --shard-rows 8"
    said = person.make(
        "submit-prepare",
        f"DATA={bucket}/artworks",
        f"OUTPUT={bucket}/data",
        _arguments([*place_flags(gcs), "--name", "shards", "--job-args", flags]),
        timeout_s=_JOB_S,
    )
    _succeeded(said, "shards")
    assert "24 pictures written" in said.out, said.all


def _train(person: Person, gcs: ClusterGcs, bucket: str) -> None:
    settings = [part for setting in _SETTINGS for part in ("--set", setting)]
    said = person.make(
        "submit-train",
        "RECIPE=demo",
        f"DATA={bucket}/data",
        f"OUTPUT={bucket}/runs/first",
        f"NUM_WORKERS={_WORKERS}",
        _arguments([*place_flags(gcs), *settings]),
        timeout_s=_JOB_S,
    )
    _succeeded(said, "first")
    plan, _, rest = said.out.partition("API server")
    for planned in (person.namespace.name, f"{_WORKERS} × (1 GPU", "ends            after 24h00m"):
        assert planned in plan, said.all
    assert re.search(r"ok +quota", rest), said.all
    assert "failed" not in rest.partition("submitted")[0], said.all
    assert re.search(r"judging 6/6 +loss [\d.]+ +[\d.]+ images/s", said.out), said.all
    assert len(gcs.names(f"{bucket}/runs/first/export")) > 8
    written = set(gcs.names(f"{bucket}/runs/first"))
    for name in ("summary.json", "loss.png", "job/job.json", "job/exit.json"):
        assert f"runs/first/{name}" in written
    assert [name for name in written if "job/logs/driver/" in name]


def _told_by_kubectl_alone(person: Person) -> None:
    """Labels, conditions and events say the same as we do, to whoever has no momalisa."""
    job = json.loads(_kubectl(person, "get", "rayjob", "first", "-o", "json"))
    labels = job["metadata"]["labels"]
    assert (labels["momalisa.dev/kind"], labels["momalisa.dev/recipe"]) == ("train", "demo")
    assert labels["momalisa.dev/owner"]
    assert (job["status"]["jobDeploymentStatus"], job["status"]["jobStatus"]) == ("Complete", "SUCCEEDED")
    assert "first" in _kubectl(person, "get", "rayjobs", "-l", "app.kubernetes.io/managed-by=momalisa")
    assert "RayJob/first" in _kubectl(person, "get", "events").replace("rayjob/", "RayJob/")
    batch: Manifest = json.loads(_kubectl(person, "get", "job", "first", "-o", "json"))
    complete = condition(batch, "Complete")
    assert complete
    assert complete["status"] == "True"


def _told_when_all_is_gone(person: Person, bucket: str) -> None:
    namespace = person.namespace
    clusters = namespace.path("rayclusters", group="ray.io/v1")
    namespace.wait_for("the cluster goes by its rules", lambda: not namespace.api.items(clusters), deadline_s=90)
    assert person.status("first")["state"] == "succeeded"
    removed = person.jobs("delete", "first", "--yes")
    assert removed.code == 0, removed.all
    path = namespace.path("rayjobs", "first", group="ray.io/v1")
    namespace.wait_for("the RayJob is gone", lambda: namespace.api.find(path) is None, deadline_s=60)
    for known_by in (["first"], [f"{bucket}/runs/first"]):
        status = person.jobs("status", *known_by)
        assert "succeeded" in status.out, status.all
        driver = person.jobs("logs", *known_by)
        assert "exporting 6/6" in driver.out, driver.all
        assert person.jobs("logs", *known_by, "--rank", "1").out.strip(), "rank 1 left no log"


def _walk(person: Person, gcs: ClusterGcs, bucket: str) -> None:
    gcs.write(f"{bucket}/requests.jsonl", (json.dumps(_REQUEST) + "\n").encode())
    said = person.make(
        "submit-walk",
        f"MODEL={bucket}/runs/first/export",
        f"DATA={bucket}/requests.jsonl",
        f"OUTPUT={bucket}/walks",
        _arguments([*place_flags(gcs), "--cpus-per-worker", "1", "--gpus-per-worker", "0"]),  # CUDA cannot be pretended
        timeout_s=_JOB_S,
    )
    _succeeded(said, "walks")
    with Image.open(io.BytesIO(gcs.read(f"{bucket}/walks/dots/animation.gif"))) as walk:
        assert getattr(walk, "n_frames", 1) >= 2


def _succeeded(said: Said, name: str) -> None:
    assert said.code == 0, said.all
    assert f"{name} succeeded: it succeeded" in said.err, said.all


def _arguments(words: list[str]) -> str:
    """As make hands them to a shell."""
    quoted = " ".join(f'"{word}"' if re.search(r"[\s\[\]{}']", word) else word for word in _escaped(words))
    return f"ARGS={quoted}"


def _escaped(words: list[str]) -> list[str]:
    return [word.replace('"', '\\"') for word in words]


def _kubectl(person: Person, *words: str) -> str:
    program = kubectl()
    assert program
    done = subprocess.run([program, *words], env=person.env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
