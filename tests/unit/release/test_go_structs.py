"""How Go writes what it has read; that KubeRay does so too is test_kuberay_hashes.py's."""

from typing import Any

import pytest

from momalisa.release.go_structs import quantity, written


@pytest.mark.parametrize(
    ("text", "form"),
    [
        *[("0", "0"), ("000", "0"), ("0Gi", "0"), ("1", "1"), ("01", "01"), ("1000m", "1"), ("-0.5", "-500m")],
        *[("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1073741824", "1073741824"), ("0.5Ki", "512"), ("1500", "1500")],
        *[("1000", "1k"), ("1e3", "1e3"), ("10e2", "1e3"), ("100e-2", "1"), ("1E", "1E"), ("1e100", "10e99")],
        *[("0.1n", "1n"), ("9Ei", "9223372036854775807"), ("0.0000000001Ei", "115292150460684698n")],
        *[("1.500", "1.500"), ("+5", "+5"), ("many", "many"), ("", ""), ("1e1000000000", "1e1000000000")],
    ],
)
def test_amounts_have_a_form(text: str, form: str) -> None:
    assert quantity(text) == form


@pytest.mark.parametrize(
    ("value", "type_", "form"),
    [
        ({"name": "a"}, "Volume", {"name": "a"}),
        ({}, "EnvVar", {"name": ""}),
        ({"emptyDir": {}, "name": ""}, "Volume", {"name": "", "emptyDir": {}}),
        ({"driver": "d", "readOnly": False}, "CSIVolumeSource", {"driver": "d", "readOnly": False}),
        ({"name": "a", "mountPath": "/a", "readOnly": False}, "VolumeMount", {"name": "a", "mountPath": "/a"}),
        ({"containerPort": 80}, "ContainerPort", {"containerPort": 80, "protocol": "TCP"}),
        ({"limits": {"cpu": 1, "memory": "1024Mi"}}, "ResourceRequirements", {"limits": {"cpu": "1", "memory": "1Gi"}}),
        ({"a": None, "b": ""}, "map[]string", {"a": "", "b": ""}),
        (["a", None], "[]string", ["a", ""]),
        ({"hostAliases": [], "containers": []}, "PodSpec", {"containers": []}),
        ("no struct", "PodSpec", "no struct"),
    ],
)
def test_structs(value: Any, type_: str, form: Any) -> None:
    assert written(value, type_) == form
