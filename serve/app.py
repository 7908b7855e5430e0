"""The service on Ray Serve.

On a cluster: `serve run serve.app:build_app bucket=gs://…`, or a RayService whose application is imported as
`serve.app:build_app`. On one machine: `python serve/app.py [--bucket FOLDER] [--port 8000]`, or `make serve`.
"""

import sys

from momalisa.service.command import main
from momalisa.service.on_ray.application import build_app

__all__ = ["build_app"]

if __name__ == "__main__":
    sys.exit(main())
