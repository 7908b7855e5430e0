"""Values that cannot be are refused before anything is sent, with what to do."""

import json
import re

import pytest
import yaml

from momalisa.service.conductor_config import ConductorConfig
from tests.support.chart import CHART, README, VALUE_SETS, RefusedError, manifests, named, rendered, values_file

BUCKET = 'bucket.uri="gs://b/p"'
# What the schema says: value → words of the message.
BY_SCHEMA = {
    'bukket.uri="gs://b"': "bukket",
    "renderers=3": "renderers",
    "limits.max_frame=3": "max_frame",
    "limits.max_frames=1": "/limits/max_frames",
    "limits.max_frames=100000": "/limits/max_frames",
    "limits.max_side=10000": "/limits/max_side",
    "limits.max_upload_bytes=1000000000": "/limits/max_upload_bytes",
    'limits.max_frames="many"': "/limits/max_frames",
    "admission.max_works=-1": "/admission/max_works",
    'moderation.languages=["xx"]': "/moderation/languages",
    'moderation.endpoint="judge"': "/moderation/endpoint",
    "moderation.timeout_s=0": "/moderation/timeout_s",
    "retention.keep_days=0": "/retention/keep_days",
    "retention.every_s=0": "/retention/every_s",
    "application.max_models_per_renderer=0": "/application/max_models_per_renderer",
    'application.bucket="gs://b"': "bucket",
    "application.drawing.dtyp=1": "dtyp",
    'application.drawing.dtype="int8"': "/application/drawing/dtype",
    "models=[]": "/models",
    'models=[{"id":"a"}]': "uri",
    'models=[{"id":"","uri":"u"}]': "/models/0/id",
    'models=[{"id":"a","uri":"u","adapters":[]}]': "adapters",
    'image.digest="0123"': "/image/digest",
    'image.pullPolicy="Sometimes"': "/image/pullPolicy",
    'bucket.uri="b/p"': "/bucket/uri",
    "deployments.gateway.minReplicas=0": "/deployments/gateway/minReplicas",
    **{
        f"deployments.{name}.numCpus=0": f"/deployments/{name}/numCpus"
        for name in ("gateway", "conductor", "textEncoder", "renderer", "assembler")
    },
    "deployments.renderers.minReplicas=0": "renderers",
    'rendererGroups=[{"name":"a"}]': "gpus",
    'rendererGroups=[{"name":"a","gpus":1,"gpu":"l4"}]': "'gpu'",
    'workers.resources={"request":{"cpu":1}}': "request",
    'networkPolicy.clients=[{"cidr":"10.0.0.0/8"}]': "cidr",
    'upgrade.strategy="RollingUpdate"': "/upgrade/strategy",
    "upgrade.deletionDelaySeconds=30": "/upgrade/deletionDelaySeconds",
    "terminationGracePeriodSeconds=30": "/terminationGracePeriodSeconds",
    "extraEnv.A.value=1": "/extraEnv/A",
    'sweep.schedule="daily"': "/sweep/schedule",
    # What Helm drops is missed.
    "networkPolicy=null": "missing property 'networkPolicy'",
    "networkPolicy.enabled=null": "missing property 'enabled'",
    "podDisruptionBudgets.head=null": "missing property 'head'",
    "limits.max_frames=null": "missing property 'max_frames'",
    "access.sessions.existingSecret=null": "missing property 'existingSecret'",
}
# What the templates say.
BY_CHECK = {
    'fullnameOverride="walks-"': "fullnameOverride",
    'bucket.uri=""': "bucket.uri is missing: set it to gs://BUCKET/PREFIX",
    "access.visitors=false": "nobody could ask for walks: set access.visitors",
    "page.enabled=false": "there is no page: set page.enabled",
    'access={"visitors":false,"keys":{"existingSecret":"k"}}': "helm test could not ask for a walk",
    "deployments.gateway.maxReplicas=1": "minReplicas is 2 and maxReplicas 1",
    "limits.max_streams=2000": "take fewer than application.max_open_requests",
    "application.leading.patience_s=6": "renew_s is 3 and patience_s 6: take a renew_s below half of patience_s",
    "application.leading.renew_s=5": "renew_s is 5 and patience_s 10",
    "deployments.renderer.numGpus=0": "numGpus is 0",
    "deployments.renderer.numGpus=1.5": "take a part of one GPU, or a whole number",
    "deployments.renderer.numGpus=2": "no pod of rendererGroups has more than 1",
    "deployments.assembler.numCpus=4.5": "deployments.assembler.numCpus is 4.5, and a worker has 4 by Ray's count",
    "deployments.renderer.gracefulShutdownTimeoutSeconds=101": "raise terminationGracePeriodSeconds to 121 or more",
    "terminationGracePeriodSeconds=60": "pods are drained for 40: raise terminationGracePeriodSeconds to 80",
    "workers.replicas=1": "podDisruptionBudgets.workers is 1 of 1 workers",
    "podDisruptionBudgets.workers=2": "lower it (0: none), or raise workers.replicas",
    'podLabels={"momalisa.dev/release":"a"}': "podLabels: momalisa.dev/release is the chart's own",
    'podLabels={"ray.io/cluster":"a"}': "podLabels: ray.io/cluster is",
    'podLabels={"app.kubernetes.io/component":"a"}': "podLabels: app.kubernetes.io/component is",
    'serviceAccount={"name":"a","headName":"a"}': "would give each of them the autoscaler's rights",
    'serviceAccount.headName="walks-momalisa"': "would give each of them the autoscaler's rights",
    'serviceAccount.annotations={"iam.gke.io/gcp-service-account":"a"}': "set networkPolicy.gke to true",
    'rendererGroups=[{"name":"a","gpus":1,"replicas":9,"maxReplicas":8}]': "a has 9 replicas at least and 8 at most",
    'models=[{"id":"a","uri":"u"},{"id":"a","uri":"v"}]': "two have one id (a, a)",
    'rendererGroups=[{"name":"workers","gpus":1}]': "the name workers is taken",
    'rendererGroups=[{"name":"a","gpus":1},{"name":"a","gpus":1}]': "the name a is taken",
    "autoscaling.enabled=false": "no renderer would ever start",
    "gcsFaultTolerance.enabled=true": "redisAddress is missing",
    "tracing.enabled=true": "tracing.endpoint is missing",
    "httpRoute.enabled=true": "hangs on nothing",
    'httpRoute={"enabled":true,"gateway":{"create":true}}': "needs className, and for HTTPS tlsSecretName or",
    "ingress.enabled=true": "ingress.hosts is empty",
    "prometheusRule.enabled=true": "enable both",
}


def refusal(*values: str) -> str:
    with pytest.raises(RefusedError) as refused:
        rendered("", BUCKET, *values)
    return str(refused.value)


def test_a_bucket_is_all_that_is_needed() -> None:
    assert "gs://b/p" in rendered("", BUCKET)


def test_the_least_that_the_readme_says_is_enough() -> None:
    (block,) = re.findall(r"^The least that .*\n\n((?:    .*\n)+)", README.read_text(), re.MULTILINE)
    values = yaml.safe_load(block.replace("sha256:…", f"sha256:{'0' * 64}"))
    objects = manifests("", *(f"{name}={json.dumps(value)}" for name, value in values.items()))
    assert "registry: REGISTRY" in block
    assert named(objects, "RayService")


@pytest.mark.parametrize("value", BY_SCHEMA)
def test_by_the_schema(value: str) -> None:
    assert BY_SCHEMA[value] in refusal(value)


@pytest.mark.parametrize("value", BY_CHECK)
def test_by_the_templates(value: str) -> None:
    assert BY_CHECK[value] in refusal(value)


def test_figures_that_are_switched_off_cannot_be_read() -> None:
    told = refusal("application.serves_metrics=false", "serviceMonitor.enabled=true")
    assert "which application.serves_metrics switches off" in told


def test_workers_that_are_too_few() -> None:
    told = refusal('workers={"replicas":2,"numCpus":1}', "autoscaling.enabled=false", "rendererGroups=[]")
    assert "workers have 2 CPUs by Ray's count, and the deployments' least replicas need 3.6" in told


@pytest.mark.parametrize(
    ("group", "num_gpus", "room"),
    [
        ('{"name":"a","gpus":1,"replicas":1}', 0.5, 2),
        ('{"name":"a","gpus":1,"replicas":3}', 0.4, 6),
        ('{"name":"a","gpus":2,"replicas":1}', 0.4, 4),  # two on each: none has a part of both
        ('{"name":"a","gpus":3,"replicas":2}', 2, 2),
        ('{"name":"a","gpus":1,"replicas":1}', 0.1, 10),
    ],
)
def test_without_autoscaling_renderers_fit_into_the_pods(group: str, num_gpus: float, room: int) -> None:
    values = (BUCKET, "autoscaling.enabled=false", f"rendererGroups=[{group}]")
    scale = '{"minReplicas":%d,"maxReplicas":20,"numGpus":%s}'
    assert rendered("", *values, f"deployments.renderer={scale % (room, num_gpus)}")
    told = refusal(*values, f"deployments.renderer={scale % (room + 1, num_gpus)}")
    assert f"have room for {room}, and deployments.renderer wants {room + 1}" in told


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_what_the_chart_sets_is_not_set_again(value_set: str) -> None:
    """Also where the set itself adds some: KubeRay takes the last one, and says nothing."""
    own = set(yaml.safe_load(values_file(value_set).read_text()).get("extraEnv", {}))
    cluster = named(manifests(value_set), "RayService")["spec"]["rayClusterConfig"]
    (container,) = cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    names = {each["name"] for each in container["env"]}
    assert own < names
    for name in names - own:
        with pytest.raises(RefusedError, match=f"extraEnv: {name} is the chart's own: leave it out"):
            rendered(value_set, f'extraEnv.{name}="a"')


def test_no_number_of_the_conductor_s_is_there_twice_and_differs() -> None:
    checks = (CHART / "templates" / "_checks.tpl").read_text()
    for name in ("renew_s", "patience_s"):
        (held,) = re.findall(rf'dig "{name}" (\d+)', checks)
        assert float(held) == getattr(ConductorConfig(), name)
