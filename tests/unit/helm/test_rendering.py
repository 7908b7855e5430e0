"""What the chart makes: golden files, pods that Pod Security takes, objects that KubeRay and its CRD take."""

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes.client
import pydantic
import pytest
import yaml
from ray._private.ray_constants import RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S

from momalisa.cluster.rules import kuberay_problems, pod_security_problems
from tests.cluster.binaries import chart_folder
from tests.support.chart import GOLDEN, NAMESPACE, VALUE_SETS, Manifest, golden, manifests, named
from tests.support.kuberay import TO_BUILD

CRD = chart_folder() / "ray.io_rayservices.yaml"
_DRAIN = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
BUCKET = 'bucket.uri="gs://b/p"'
SECRET = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY|AIza[0-9A-Za-z_-]{35}")


def as_job(cluster: Manifest, name: str = "walks") -> Manifest:
    """For momalisa's own rules, which are of a RayJob's cluster."""
    return {"metadata": {"name": name}, "spec": {"submissionMode": "HTTPMode", "rayClusterSpec": cluster}}


def pods(objects: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Specs of all pods but Ray's."""
    for each in objects:
        if each["kind"] == "Pod":
            yield each["metadata"]["name"], each["spec"]
        if each["kind"] == "CronJob":
            yield each["metadata"]["name"], each["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def ray_templates(service: Manifest) -> dict[str, Manifest]:
    cluster = service["spec"]["rayClusterConfig"]
    groups = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"], **groups}


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_golden(value_set: str) -> None:
    kept, made = (GOLDEN / f"{value_set}.yaml").read_text(), golden(value_set)
    diff = "\n".join(difflib.unified_diff(kept.splitlines(), made.splitlines(), "kept", "made", lineterm=""))
    assert not diff, f"python -m tests.support.chart --write, if this is meant:\n{diff}"


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_every_pod_is_restricted_and_reads_only(value_set: str) -> None:
    objects = manifests(value_set)
    cluster = named(objects, "RayService")["spec"]["rayClusterConfig"]
    assert pod_security_problems(as_job(cluster)) == []
    for name, pod in pods(objects):
        alone = {"headGroupSpec": {"template": {"spec": pod}}}
        assert pod_security_problems(as_job(alone)) == [], name
    specs = [template["spec"] for template in ray_templates(named(objects, "RayService")).values()]
    for pod in [*specs, *(pod for _, pod in pods(objects))]:
        assert pod["automountServiceAccountToken"] is False
        assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in pod["containers"])
        mounted = {mount["mountPath"] for each in pod["containers"] for mount in each["volumeMounts"]}
        assert {"/tmp", "/home/momalisa"} <= mounted
        assert not any("subPath" in mount for each in pod["containers"] for mount in each["volumeMounts"])


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_kuberay_takes_it(value_set: str) -> None:
    service = named(manifests(value_set), "RayService")
    assert kuberay_problems(as_job(service["spec"]["rayClusterConfig"], service["metadata"]["name"])) == []
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    for group in groups:
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert "externalStorageNamespace" not in service["spec"]["rayClusterConfig"].get("gcsFaultToleranceOptions", {})
    assert "selector" not in service["spec"]["serveService"]["spec"]
    assert "name" not in service["spec"]["serveService"]["metadata"]


@pytest.mark.skipif(not CRD.is_file(), reason=TO_BUILD)
@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_its_crd_knows_all_of_it(value_set: str) -> None:
    crd = yaml.load(CRD.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    version = next(each for each in crd["spec"]["versions"] if each["name"] == "v1")
    strict = _strict(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    problems = jsonschema.Draft7Validator(strict).iter_errors(named(manifests(value_set), "RayService")["spec"])
    assert [f"{list(problem.path)}: {problem.message}" for problem in problems] == []


def _strict(part: Any) -> Any:
    """What the API server would drop silently is refused; what is a number or a string is either."""
    if isinstance(part, list):
        return [_strict(each) for each in part]
    if not isinstance(part, dict):
        return part
    told = {key: _strict(value) for key, value in part.items()}
    if "properties" in part and not part.get("x-kubernetes-preserve-unknown-fields"):
        told.setdefault("additionalProperties", False)
    return told


# Of others there is no schema at hand without a cluster; rules are promtool's to check (test_alerts.py).
_BUILT_IN = {"v1", "batch/v1", "networking.k8s.io/v1", "policy/v1", "scheduling.k8s.io/v1"}
_OF_OTHERS = {"GCPBackendPolicy", "Gateway", "HTTPRoute", "HealthCheckPolicy", "PodMonitor", "PrometheusRule"}
_OF_OTHERS |= {"RayService", "ServiceMonitor"}


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_kubernetes_knows_every_field_of_its_own_kinds(value_set: str) -> None:
    """The API server would drop an unknown one silently."""
    for each in manifests(value_set):
        if each["apiVersion"] in _BUILT_IN:
            getattr(kubernetes.client, f"V1{each['kind']}").model_validate(each, strict=True)
        else:
            assert each["kind"] in _OF_OTHERS


def test_a_field_that_kubernetes_does_not_know_is_noticed() -> None:
    (container,) = named(manifests("", BUCKET), "Pod")["spec"]["containers"]
    kubernetes.client.V1Container.model_validate(container, strict=True)
    for wrong in ({"imagePullPolice": "Always"}, {"name": 3}):
        with pytest.raises(pydantic.ValidationError):
            kubernetes.client.V1Container.model_validate(container | wrong, strict=True)


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_every_object_is_of_the_release_and_there_once(value_set: str) -> None:
    objects = manifests(value_set)
    keys = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(keys) == len(set(keys))
    for each in objects:
        if each["metadata"]["name"] in ("of-our-own", "walks-momalisa-beside"):
            continue
        labels = each["metadata"]["labels"]
        assert labels["momalisa.dev/release"] == "walks-momalisa"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert each["metadata"].get("namespace") == (None if each["kind"] == "PriorityClass" else NAMESPACE)
        assert not SECRET.search(yaml.safe_dump(each))


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_what_pods_name_is_made_or_brought_along(value_set: str) -> None:
    objects = manifests(value_set)
    accounts = {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}
    config_maps = {each["metadata"]["name"] for each in objects if each["kind"] == "ConfigMap"} | {"kube-root-ca.crt"}
    all_pods = [template["spec"] for template in ray_templates(named(objects, "RayService")).values()]
    for pod in [*all_pods, *(pod for _, pod in pods(objects))]:
        assert pod["serviceAccountName"] in accounts
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert len(volumes) == len(pod["volumes"])
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in config_maps


def test_secrets_are_with_those_who_need_them() -> None:
    templates = ray_templates(named(manifests("many-models"), "RayService"))
    held = {
        name: {volume["secret"]["secretName"] for volume in template["spec"]["volumes"] if "secret" in volume}
        for name, template in templates.items()
    }
    assert held == {
        "head": set(),
        "workers": {"studio-bucket", "studio-keys"},
        "big": {"studio-bucket"},
    }


def test_only_the_autoscaler_may_speak_to_the_api_server() -> None:
    for value_set in VALUE_SETS:
        service = named(manifests(value_set), "RayService")
        cluster = service["spec"]["rayClusterConfig"]
        for template in ray_templates(service).values():
            tokens = {volume["name"] for volume in template["spec"]["volumes"] if "projected" in volume}
            for container in template["spec"]["containers"]:
                assert not tokens & {mount["name"] for mount in container["volumeMounts"]}
        mounts = cluster.get("autoscalerOptions", {}).get("volumeMounts", [])
        assert any(mount["name"] == "kubernetes-api" for mount in mounts) == cluster["enableInTreeAutoscaling"]


def parents(others: list[Manifest], made: Manifest) -> list[Manifest]:
    route = {"enabled": True, "parentRefs": others, "gateway": made}
    spec = named(manifests("", BUCKET, f"httpRoute={json.dumps(route)}"), "HTTPRoute")["spec"]
    found: list[Manifest] = spec["parentRefs"]
    return found


def test_a_gateway_that_is_made_has_the_route_beside_others() -> None:
    made = {"create": True, "className": "gke-l7-regional-external-managed", "tlsSecretName": "tls"}
    ours, elsewhere = {"name": "walks-momalisa"}, {"name": "walks-momalisa", "namespace": "infra"}
    for others, expected in (([], [ours]), ([{"name": "own"}], [{"name": "own"}, ours]), ([ours], [ours])):
        assert parents(others, made) == expected
    assert parents([elsewhere], made) == [elsewhere, ours]


def test_a_large_number_in_the_environment_stays_one() -> None:
    values = 'extraEnv={"BYTES":100000000,"SHARE":0.5,"ON":true,"TEXT":"1e3"}'
    for template in ray_templates(named(manifests("", BUCKET, values), "RayService")).values():
        found = {each["name"]: each.get("value") for each in template["spec"]["containers"][0]["env"]}
        assert [found[name] for name in ("BYTES", "SHARE", "ON", "TEXT")] == ["100000000", "0.5", "true", "1e3"]


def test_what_else_is_mounted_is_in_all_that_speak_to_the_bucket() -> None:
    certificates = {"name": "certificates", "mountPath": "/etc/certificates"}
    volumes = [{"name": "certificates", "configMap": {"name": "certificates"}}]
    values = (f"extraVolumes={json.dumps(volumes)}", f"extraVolumeMounts={json.dumps([certificates])}")
    objects = manifests("", BUCKET, "sweep.enabled=true", *values)
    (sweep,) = (spec for name, spec in pods(objects) if name.endswith("-sweep"))
    templates = ray_templates(named(objects, "RayService")).values()
    for spec in (sweep, *(template["spec"] for template in templates)):
        assert certificates in spec["containers"][0]["volumeMounts"]
        assert volumes[0] in spec["volumes"]


def test_visitors_are_sent_to_no_renderer() -> None:
    service = named(manifests("gke-spot"), "RayService")
    assert service["spec"]["serveService"]["spec"]["ports"][0]["targetPort"] == "serve"
    with_port = {
        name
        for name, template in ray_templates(service).items()
        for port in template["spec"]["containers"][0]["ports"]
        if port["name"] == "serve"
    }
    assert with_port == {"head", "workers"}


def test_grace_and_delays() -> None:
    for value_set in VALUE_SETS:
        service = named(manifests(value_set), "RayService")
        assert service["spec"]["rayClusterDeletionDelaySeconds"] > 90  # for which idle connections are kept alive
        for template in ray_templates(service).values():
            grace = template["spec"]["terminationGracePeriodSeconds"]
            env = {each["name"]: each.get("value") for each in template["spec"]["containers"][0]["env"]}
            # A head has no replicas to move, and a spot node no time: Ray's own 30 s do.
            assert grace >= 20 + float(env.get(_DRAIN, RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S))
            is_head = template["metadata"]["labels"]["app.kubernetes.io/component"] == "head"
            is_spot = "cloud.google.com/gke-spot" in template["spec"].get("nodeSelector", {})
            assert (_DRAIN in env) == (not is_head and not is_spot)
            assert template["spec"]["containers"][0]["readinessProbe"]["timeoutSeconds"] > 2
            assert template["spec"]["restartPolicy"] == "Never"


def test_the_test_s_time_is_bounded_by_the_pod_s() -> None:
    pod = named(manifests("", BUCKET, "tests.timeoutSeconds=100"), "Pod")
    assert pod["spec"]["activeDeadlineSeconds"] == 130
    (container,) = pod["spec"]["containers"]
    assert container["args"][container["args"].index("--timeout-s") + 1] == "100"


def test_only_the_pods_account_is_google_s() -> None:
    annotations = '{"iam.gke.io/gcp-service-account":"a@b","other":"c"}'
    objects = manifests("", BUCKET, "networkPolicy.gke=true", f"serviceAccount.annotations={annotations}")
    assert "iam.gke.io/gcp-service-account" in _annotations(objects, "walks-momalisa")
    assert _annotations(objects, "walks-momalisa-head") == {"other": "c"}


def _annotations(objects: tuple[Manifest, ...], account: str) -> Manifest:
    return dict(named(objects, "ServiceAccount", account)["metadata"]["annotations"])


@pytest.mark.parametrize(("name", "is_nginx"), [("nginx", True), ("nginx-internal", True), ("gce", False), ("", False)])
def test_nginx_is_told_of_event_streams(name: str, is_nginx: bool) -> None:
    values = f'ingress={{"enabled":true,"className":"{name}","hosts":["a.example.org"]}}'
    annotations = named(manifests("", BUCKET, values), "Ingress")["metadata"].get("annotations", {})
    assert (annotations.get("nginx.ingress.kubernetes.io/proxy-buffering") == "off") == is_nginx


def test_a_load_balancer_s_own_certificates() -> None:
    gateway = '{"create":true,"className":"gke","annotations":{"networking.gke.io/certmap":"map"}}'
    made = named(manifests("", BUCKET, f'httpRoute={{"enabled":true,"gateway":{gateway}}}'), "Gateway")
    (listener,) = made["spec"]["listeners"]
    assert listener["protocol"] == "HTTPS"
    assert "tls" not in listener
    (listener,) = named(manifests("gke-spot"), "Gateway")["spec"]["listeners"]
    assert listener["tls"]["certificateRefs"] == [{"name": "walks-tls"}]


def test_only_text_is_a_template() -> None:
    braces = "{{ .Release.Name }}"
    map_of = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "as-it-is"}, "data": {"a": braces}}
    text = json.dumps(map_of).replace("as-it-is", "template")
    objects = manifests("", BUCKET, f"extraObjects={json.dumps([map_of, text])}")
    assert named(objects, "ConfigMap", "as-it-is")["data"] == {"a": braces}
    assert named(objects, "ConfigMap", "template")["data"] == {"a": "walks"}


def test_templates_are_short() -> None:
    for path in (Path(__file__).parents[3] / "helm" / "momalisa" / "templates").rglob("*"):
        if path.is_file():
            assert len(path.read_text().splitlines()) <= 250, path
