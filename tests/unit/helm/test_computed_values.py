"""What `momalisa release plan` renders is what `helm upgrade` renders."""

import pytest

from momalisa.release.helm import Helm
from tests.support.chart import CHART, NAMESPACE, RELEASE, VALUE_SETS, helm, manifests, values_file


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_all_values_at_once_render_as_the_files_that_they_are_from(value_set: str) -> None:
    command = Helm(helm(), namespace=NAMESPACE)
    values = command.computed_values(str(CHART), [str(values_file(value_set))])
    rendered = command.template(RELEASE, str(CHART), values)
    drawn_anew = "Secret"  # what signs sessions is made once
    expected = {_name(each): each for each in manifests(value_set) if each["kind"] != drawn_anew}
    assert {_name(each): each for each in rendered if each["kind"] != drawn_anew} == {
        name: each for name, each in expected.items() if "helm.sh/hook" not in each["metadata"].get("annotations", {})
    }


def _name(manifest: dict[str, dict[str, str]]) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"
