"""What a job may hold: refused when it is submitted, each by itself."""

from collections.abc import Callable
from typing import Any

from tests.cluster.api import Api, Manifest
from tests.cluster.guarded import (
    API_TOKEN,
    FOREIGN_SECRET,
    allow,
    make_autoscaled,
    rayjob,
    refusal_of,
    repository,
    suspended_rayjob,
    with_volume,
)
from tests.cluster.handles import Namespace
from tests.cluster.waiting import wait_for


def test_a_fit_job_is_taken(submitter: Api, guarded: Namespace) -> None:
    image = guarded.cluster.image
    job = rayjob(image)
    submitter.create(job, namespace=guarded.name, dryRun="All")
    make_autoscaled(job, image)
    submitter.create(job, namespace=guarded.name, dryRun="All")


def _head(job: Manifest) -> Manifest:
    return job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]


def _worker(job: Manifest) -> Manifest:
    return job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]


def _submits(job: Manifest) -> Manifest:
    return job["spec"]["submitterPodTemplate"]["spec"]


def _with_init(spec: Manifest, **fields: Any) -> None:
    spec["initContainers"] = [{**spec["containers"][0], "name": "init", **fields}]


def _with_autoscaler(job: Manifest, **options: Any) -> None:
    make_autoscaled(job, _head(job)["containers"][0]["image"])
    job["spec"]["rayClusterSpec"]["autoscalerOptions"] |= options


REFUSED: dict[str, tuple[Callable[[Manifest], Any], str]] = {
    "image of the head": (lambda j: _head(j)["containers"][0].update(image="foreign/image"), "foreign/image"),
    "image of a worker": (lambda j: _worker(j)["containers"][0].update(image="foreign/image"), "foreign/image"),
    "image of the submitter": (lambda j: _submits(j)["containers"][0].update(image="foreign/image"), "foreign/image"),
    "image of an init container": (lambda j: _with_init(_worker(j), image="foreign/image"), "foreign/image"),
    "image of the autoscaler": (lambda j: _with_autoscaler(j, image="foreign/image"), "foreign/image"),
    "image that begins as one allowed": (
        lambda j: _head(j)["containers"][0].update(image=repository(_head(j)["containers"][0]["image"]) + "-too:1"),
        "-too:1",
    ),
    "image of a longer path": (
        lambda j: _head(j)["containers"][0].update(image=repository(_head(j)["containers"][0]["image"]) + "/x:1"),
        "/x:1",
    ),
    "account": (lambda j: _head(j).update(serviceAccountName="momalisa-submitter"), "momalisa-submitter"),
    "account of a worker": (lambda j: _worker(j).update(serviceAccountName="builder"), "builder"),
    "account by its old name": (
        lambda j: (_head(j).pop("serviceAccountName"), _head(j).update(serviceAccount="builder")),
        "builder",
    ),
    "no account": (lambda j: _submits(j).pop("serviceAccountName"), "default"),
    "secret in env": (
        lambda j: _head(j)["containers"][0]["env"].append({"name": "T", "valueFrom": FOREIGN_SECRET}),
        "foreign",
    ),
    "secret in an init container's env": (
        lambda j: _with_init(_worker(j), env=[{"name": "T", "valueFrom": FOREIGN_SECRET}]),
        "foreign",
    ),
    "secret in envFrom": (
        lambda j: _submits(j)["containers"][0].update(envFrom=[{"secretRef": {"name": "foreign"}}]),
        "foreign",
    ),
    "secret as a volume": (lambda j: with_volume(_worker(j), {"secret": {"secretName": "foreign"}}), "foreign"),
    "secret in a projected volume": (
        lambda j: with_volume(_head(j), {"projected": {"sources": [{"secret": {"name": "foreign"}}]}}),
        "foreign",
    ),
    "secret of a CSI volume": (
        lambda j: with_volume(_head(j), {"csi": {"driver": "x.example", "nodePublishSecretRef": {"name": "foreign"}}}),
        "foreign",
    ),
    "secret to pull with": (lambda j: _head(j).update(imagePullSecrets=[{"name": "foreign"}]), "foreign"),
    "secret as Ray's token": (
        lambda j: j["spec"]["rayClusterSpec"]["authOptions"].update(secretName="foreign"),
        "foreign",
    ),
    "secret as Redis' password": (
        lambda j: j["spec"]["rayClusterSpec"].update(
            gcsFaultToleranceOptions={"redisAddress": "redis:6379", "redisPassword": {"valueFrom": FOREIGN_SECRET}}
        ),
        "foreign",
    ),
    "secret in the autoscaler's env": (
        lambda j: _with_autoscaler(j, env=[{"name": "T", "valueFrom": FOREIGN_SECRET}]),
        "foreign",
    ),
    "another job's token": (
        lambda j: _head(j)["containers"][0]["env"].append(
            {
                "name": "RAY_AUTH_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": "walking-x7k2p", "key": "auth_token"}},
            }
        ),
        "walking-x7k2p",
    ),
    "token of the API": (lambda j: with_volume(_worker(j), API_TOKEN), "only the autoscaler"),
    "token by automounting": (lambda j: _head(j).update(automountServiceAccountToken=True), "only the autoscaler"),
    "another's cluster": (lambda j: j["spec"].update(clusterSelector={"ray.io/cluster": "walking-x7k2p"}), "its own"),
    "another job's network": (
        lambda j: j["spec"]["submitterPodTemplate"]["metadata"]["labels"].update({"momalisa.dev/run": "walking"}),
        "momalisa.dev/run",
    ),
}


def test_what_a_job_may_not_hold_is_refused_when_it_is_submitted(submitter: Api, guarded: Namespace) -> None:
    answers = {}
    for what, (spoil, word) in REFUSED.items():
        job = rayjob(guarded.cluster.image)
        spoil(job)
        answers[what] = refusal_of(submitter, job, guarded.name, word)
    assert not {what: answer for what, answer in answers.items() if answer}


def test_a_secret_that_is_allowed_is_taken(submitter: Api, guarded: Namespace) -> None:
    job = rayjob(guarded.cluster.image)
    with_volume(_worker(job), {"secret": {"secretName": "hub-token"}})
    assert not refusal_of(submitter, job, guarded.name, "hub-token")
    allow(guarded.api, guarded.name, secrets="other\nhub-token\n")
    wait_for(
        "the Secret is allowed",
        lambda: submitter.create(job, namespace=guarded.name, dryRun="All"),
        deadline_s=20,
    )


def test_a_job_that_was_taken_may_besuspended_whatever_is_allowed_since(submitter: Api, guarded: Namespace) -> None:
    image = guarded.cluster.image
    submitter.create(suspended_rayjob(image), namespace=guarded.name)
    allow(guarded.api, guarded.name, images="another/image")
    wait_for(
        "the image is refused", lambda: not refusal_of(submitter, rayjob(image), guarded.name, image), deadline_s=20
    )
    path = guarded.path("rayjobs", "painting", group="ray.io/v1")
    submitter.patch(path, {"spec": {"suspend": False}, "metadata": {"labels": {"momalisa.dev/owner": "me"}}})
