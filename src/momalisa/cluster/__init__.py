"""Jobs on a KubeRay cluster: submitted, watched, explained. `README.md` here is the map."""
