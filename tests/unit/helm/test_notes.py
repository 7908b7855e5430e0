"""What is said after an install is true of these values."""

import pytest

from tests.support.chart import VALUE_SETS, notes

BUCKET = 'bucket.uri="gs://b/p"'
HOST = '"enabled":true,"hosts":["a.example.org"]'


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_it_tells_what_to_do_next(value_set: str) -> None:
    told = notes(value_set)
    assert "momalisa release wait walks --namespace museum" in told
    assert "helm test walks --namespace museum --logs --timeout 960s" in told
    assert "\n\n\n" not in told


def test_helm_s_patience_is_longer_than_the_test_s() -> None:
    assert "--timeout 160s" in notes("", BUCKET, "tests.timeoutSeconds=100")


def test_no_test_is_told_of_where_there_is_none() -> None:
    assert "helm test" not in notes("", BUCKET, "tests.enabled=false")


def test_where_the_operator_is_expected() -> None:
    assert '"kubernetes.io/metadata.name":"kuberay"' in notes("", BUCKET)
    assert '"cidr":"10.0.0.1/32"' in notes("", BUCKET, 'networkPolicy.operator=[{"ipBlock":{"cidr":"10.0.0.1/32"}}]')
    assert "operator" not in notes("", BUCKET, "networkPolicy.enabled=false")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (f"ingress={{{HOST}}}", "come to http://a.example.org."),
        (f'ingress={{{HOST},"tls":[{{"secretName":"s"}}]}}', "come to https://a.example.org."),
        (
            f'httpRoute={{{HOST},"parentRefs":[{{"name":"g"}}]}}',
            "come to a.example.org by your Gateway, by http or https",
        ),
        (
            f'httpRoute={{{HOST},"gateway":{{"create":true,"className":"c","tlsSecretName":"s"}}}}',
            "come to https://a.example.org by the Gateway.",
        ),
    ],
)
def test_https_is_said_where_it_is(values: str, told: str) -> None:
    assert told in notes("", BUCKET, values)


@pytest.mark.parametrize(
    "values",
    ['tracing={"enabled":true,"endpoint":"http://collector:4318"}', 'moderation.endpoint="http://collector:4318"'],
)
def test_a_way_out_that_nobody_opened_is_told(values: str) -> None:
    warning = "No way is open to http://collector:4318"
    assert warning in notes("", BUCKET, values)
    assert warning not in notes("", BUCKET, values, 'networkPolicy.extraEgress=[{"to":[]}]')
    assert warning not in notes("", BUCKET, values, "networkPolicy.enabled=false")
    assert "No way is open" not in notes("", BUCKET)
