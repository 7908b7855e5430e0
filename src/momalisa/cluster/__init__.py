"""Jobs on a KubeRay cluster: what is submitted, what it is doing, why it failed."""
