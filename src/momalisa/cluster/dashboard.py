"""Ray's dashboard of a job, through the API server: nothing listens but this machine's own loopback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from momalisa.cluster.client import Cluster
from momalisa.cluster.facts import gather
from momalisa.cluster.pods import is_ready, name_of, role_of
from momalisa.errors import ConfigError

_PORT = 8265


@contextmanager
def dashboard(cluster: Cluster, name: str) -> Iterator[str]:
    """Within it, the URL leads to the dashboard. Raises ConfigError where there is no head to lead to."""
    facts = gather(cluster, name, with_run=False)
    heads = [pod for pod in facts.pods if role_of(pod) == "head" and is_ready(pod)]
    if not heads:
        raise ConfigError(
            f"{name} has no head that is up: `momalisa jobs status {name}` tells why; "
            f"what it said is kept: `momalisa jobs logs {name}`"
        )
    with cluster.forward(name_of(heads[0]), _PORT) as port:
        yield f"http://127.0.0.1:{port}"


def token_hint(cluster: Cluster, name: str) -> str | None:
    """How to get the token that the dashboard asks for; None where it asks for none."""
    facts = gather(cluster, name, with_run=False)
    options = (facts.cluster or {}).get("spec", {}).get("authOptions") or {}
    if options.get("mode") != "token" or facts.cluster is None:
        return None
    secret = options.get("secretName") or name_of(facts.cluster)
    return (
        f"it asks for a token: kubectl -n {cluster.namespace} get secret {secret} "
        "-o jsonpath='{.data.auth_token}' | base64 -d   (who may not read Secrets asks an administrator)"
    )


def open_dashboard(cluster: Cluster, name: str, *, say: Callable[[str], None], hold: Callable[[], None]) -> None:
    """Keeps the way open until `hold` returns."""
    hint = token_hint(cluster, name)
    with dashboard(cluster, name) as url:
        say(f"{url}  (Ctrl-C closes it; the job goes on)")
        if hint:
            say(hint)
        hold()
