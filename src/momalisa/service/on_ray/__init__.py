"""The service on Ray Serve: the only package that imports it. What replicas do is tested without it."""
