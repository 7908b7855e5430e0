"""python -m tests.cluster up|down|status|image [--source CHECKOUT] [--tag NAME] [--gpus 4]

A real Kubernetes with KubeRay on this machine (Linux, root). `up` leaves it running with momalisa's image on its node;
`image` builds that image again, from this checkout or another one, and hands over what changed.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.cluster.binaries import CannotBuildError
from tests.cluster.cluster import ClusterFailedError, LocalCluster
from tests.cluster.images import MOMALISA_IMAGE, ROOT, ImageError
from tests.cluster.network import AnotherKubernetesError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("up", "down", "status", "image"))
    parser.add_argument("--source", type=Path, default=ROOT, help="checkout that the image is built from")
    parser.add_argument("--tag", default=MOMALISA_IMAGE, help="the image's name on the node (%(default)s)")
    parser.add_argument("--gpus", type=int, default=4, help="pretended GPUs of the node")
    parser.add_argument("--no-image", action="store_true", help="up: leave images as they are")
    arguments = parser.parse_args()
    cluster = LocalCluster()
    try:
        _run(cluster, arguments)
    except (AnotherKubernetesError, CannotBuildError, ClusterFailedError, ImageError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


def _run(cluster: LocalCluster, arguments: argparse.Namespace) -> None:
    if arguments.verb == "status":
        print(json.dumps(cluster.status(), indent=1))
        return
    if arguments.verb == "down":
        cluster.down()
        return
    if arguments.verb == "up":
        cluster.up(num_gpus=arguments.gpus)
    if arguments.verb == "image" or not arguments.no_image:
        cluster.load(arguments.source.resolve(), arguments.tag)
    if arguments.verb == "up":
        print(f"export KUBECONFIG={cluster.kubeconfig}")


if __name__ == "__main__":
    sys.exit(main())
