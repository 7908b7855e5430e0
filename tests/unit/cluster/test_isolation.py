from momalisa.cluster.isolation import network_policy

RAYJOB = {
    "apiVersion": "ray.io/v1",
    "kind": "RayJob",
    "metadata": {"name": "painting", "namespace": "momalisa", "uid": "8f0c2d4e-1111-2222-3333-444444444444"},
    "spec": {},
}


def test_the_job_owns_its_policy_and_takes_it_along() -> None:
    metadata = network_policy(RAYJOB)["metadata"]
    assert metadata["name"] == "painting-8f0c2d4e"
    assert metadata["namespace"] == "momalisa"
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "momalisa", "momalisa.dev/run": "painting"}
    assert metadata["ownerReferences"] == [
        {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": "painting", "uid": RAYJOB["metadata"]["uid"]}
    ]


def test_a_job_of_the_same_name_has_a_policy_of_another() -> None:
    again = {**RAYJOB, "metadata": {**RAYJOB["metadata"], "uid": "11111111-0000-0000-0000-000000000000"}}
    assert network_policy(again)["metadata"]["name"] != network_policy(RAYJOB)["metadata"]["name"]


def test_its_name_is_one_that_kubernetes_takes_whatever_the_job_is_called() -> None:
    longest = {**RAYJOB, "metadata": {**RAYJOB["metadata"], "name": "a" * 47}}
    assert len(network_policy(longest)["metadata"]["name"]) <= 63


def test_it_opens_ways_among_the_pods_of_the_run_only() -> None:
    nodes = {"podSelector": {"matchLabels": {"momalisa.dev/run": "painting", "ray.io/is-ray-node": "yes"}}}
    run = {"podSelector": {"matchLabels": {"momalisa.dev/run": "painting"}}}
    assert network_policy(RAYJOB)["spec"] == {
        "podSelector": nodes["podSelector"],
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [nodes]}, {"from": [run], "ports": [{"protocol": "TCP", "port": 8265}]}],
        "egress": [{"to": [nodes]}],
    }
