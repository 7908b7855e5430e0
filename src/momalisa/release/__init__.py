"""Releases of the service on KubeRay: what an upgrade would do, how one goes, and which models may be served."""
