"""The deployments put together, and a Ray on this machine to run them."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, HTTPOptions
from ray.serve.context import _get_global_client
from ray.serve.schema import DeploymentSchema, LoggingConfig, ServeApplicationSchema, ServeDeploySchema, TracingConfig

from momalisa.config import from_dict, to_dict
from momalisa.errors import ServiceError
from momalisa.service.configuring import CONDUCTOR
from momalisa.service.on_ray.handles import CHUNKS_PER_RENDERER, RENDERER
from momalisa.service.on_ray.replicas import (
    GATEWAY,
    AssemblerDeployment,
    ConductorDeployment,
    GatewayDeployment,
    RendererDeployment,
    TextEncoderDeployment,
)
from momalisa.service.on_ray.scaling import scale_renderers
from momalisa.service.on_ray.telemetry import otlp_exporter
from momalisa.service.structure import Life, Scale, Structure

_APPLICATION = "momalisa"
_KUBERAYS_NAME = "RAY_CLUSTER_NAME"
"""In each pod of KubeRay: of the two clusters of an upgrade each has another."""
_LOOK_S = 0.2
_MAX_ENCODINGS = 100
"""With a text encoder at once: they take a hundredth of a second each."""
_LOOK_BACK_S = 30.0
"""Figures are means over so long, Ray Serve's own default, and over no longer than it takes to act on them."""
_MAX_ONGOING = 10_000
"""Of the conductor, in which whoever waits for news costs nothing."""


def build_app(args: Mapping[str, Any]) -> serve.Application:
    """The application for `serve run` or a RayService; `args` are the fields of `Structure`.

    Models, limits and other things that change in life are the `user_config` of the deployments `conductor`
    (`ConductorLife`) and `gateway` (`GatewayLife`); without one, `tiny` is served. On KubeRay the release is the Ray
    cluster, where `args` name none. Raises ConfigError.
    """
    structure, life = from_dict(Structure, args), Life()
    # A release that were named by `args` could not be another one without all deployments starting anew.
    structure = replace(structure, release=structure.release or os.environ.get(_KUBERAYS_NAME, ""))
    renderer = _deployment(
        structure,
        RendererDeployment,
        RENDERER,
        structure.renderer,
        max_ongoing_requests=CHUNKS_PER_RENDERER,
        policy=AutoscalingPolicy(policy_function=scale_renderers),
    )
    text_encoder = _deployment(
        structure, TextEncoderDeployment, "text_encoder", structure.text_encoder, max_ongoing_requests=_MAX_ENCODINGS
    )
    assembler = _deployment(structure, AssemblerDeployment, "assembler", structure.assembler, max_ongoing_requests=2)
    conductor = _deployment(
        structure,
        ConductorDeployment,
        CONDUCTOR,
        Scale(num_cpus=0),
        max_ongoing_requests=_MAX_ONGOING,
        user_config=to_dict(life.conductor),
    )
    gateway = _deployment(
        structure,
        GatewayDeployment,
        GATEWAY,
        structure.gateway,
        logs_access=True,
        max_ongoing_requests=structure.max_open_requests,
        user_config=to_dict(life.gateway),
    )
    crew = [each.bind(structure) for each in (text_encoder, renderer, assembler)]
    return gateway.bind(structure, conductor.bind(structure, *crew))


def _deployment(
    structure: Structure,
    replica: type,
    name: str,
    scale: Scale,
    *,
    policy: AutoscalingPolicy | None = None,
    logs_access: bool = False,
    **options: Any,
) -> serve.Deployment:
    if scale.min_replicas == scale.max_replicas:
        options["num_replicas"] = scale.min_replicas
    else:
        options["autoscaling_config"] = AutoscalingConfig(
            min_replicas=scale.min_replicas,
            initial_replicas=max(1, scale.min_replicas),
            max_replicas=scale.max_replicas,
            upscale_delay_s=scale.upscale_delay_s,
            downscale_delay_s=scale.downscale_delay_s,
            look_back_period_s=max(1.0, min(_LOOK_BACK_S, scale.downscale_delay_s)),
            **({} if policy is None else {"policy": policy}),
        )
    return serve.deployment(replica).options(
        name=name,
        ray_actor_options={"num_cpus": scale.num_cpus, "num_gpus": scale.num_gpus},
        max_surge_percent=100,
        logging_config=LoggingConfig(
            encoding=structure.log_encoding,
            logs_dir=None if structure.log_folder is None else str(structure.log_folder),
            enable_access_log=logs_access,
        ),
        **options,
    )


@contextmanager
def ray_here(*, host: str, port: int, num_cpus: int, verbose: bool, traces: bool = False) -> Iterator[None]:
    """Ray and Serve on this machine, for as long as the block.

    `traces`: every request is traced, and told to the collector that the environment names.
    """
    ray.init(
        address="local",
        num_cpus=num_cpus,
        include_dashboard=False,
        log_to_driver=verbose,
        logging_level="INFO" if verbose else "ERROR",
    )
    try:
        exporter = f"{otlp_exporter.__module__}:{otlp_exporter.__name__}"
        tracing = TracingConfig(enabled=traces, exporter_import_path=exporter, sampling_ratio=1.0)
        serve.start(http_options=HTTPOptions(host=host, port=port), tracing_config=tracing)
        yield
    finally:
        serve.delete(_APPLICATION)  # works are given back; Serve itself ends with Ray
        ray.shutdown()


def deploy(structure: Structure, life: Life) -> None:
    """Has Serve start the application, or change one that runs: where only its life is another one, in place.

    By a configuration, as KubeRay does it: `serve.run` would restart every replica each time.
    """
    application = ServeApplicationSchema(
        name=_APPLICATION,
        route_prefix="/",
        import_path=f"{__name__}:{build_app.__name__}",
        args=to_dict(structure),
        deployments=[
            DeploymentSchema(name=CONDUCTOR, user_config=to_dict(life.conductor)),
            DeploymentSchema(name=GATEWAY, user_config=to_dict(life.gateway)),
        ],
    )
    _get_global_client().deploy_apps(ServeDeploySchema(applications=[application]))


def wait_until_it_runs(timeout_s: float) -> None:
    """Raises ServiceError for an application that does not."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        found = serve.status().applications.get(_APPLICATION)
        if found is not None and found.status == "RUNNING":
            return
        if found is not None and found.status == "DEPLOY_FAILED":
            raise ServiceError(f"the service cannot start: {found.message}")
        time.sleep(_LOOK_S)
    raise ServiceError(f"the service did not start within {timeout_s:.0f} s: see what it says with --verbose")
