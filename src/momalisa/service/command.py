"""Starts the service on this machine, prints its address, and stays until it is told to go."""

import argparse
import importlib
import json
import math
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx

from momalisa.config import from_dict, override
from momalisa.errors import ConfigError, MomalisaError, ServiceError
from momalisa.service.models import TINY, ServedModel
from momalisa.service.structure import Life, Scale, Structure
from momalisa.storage import open_store
from momalisa.terminal import failed

_WEB_FOLDER = Path(__file__).parents[3] / "serve" / "web"
_LOCALHOST = "127.0.0.1"
_SECRET_BYTES = 32
_READY_S = 600.0
_LOOK_S = 0.3
_CALLBACK = "momalisa.service.ray_headers.in_front_of_ray_serve"


def main(arguments: list[str] | None = None) -> int:
    """The exit code is 0, 2 for wrong input, 1 where the service could not start."""
    flags = _parse(arguments)
    try:
        return _run(flags)
    except MomalisaError as e:
        return failed(e)
    except KeyboardInterrupt:  # before it was ready
        return 128 + signal.SIGINT


def _run(flags: argparse.Namespace) -> int:
    structure, life = _structure(flags), _life(flags)
    open_store(structure.bucket).list("ledger")  # a bucket that cannot be reached is told now
    _check_port(flags.host, flags.port)
    if flags.traces:
        _check_exporter()
    # Ray and Serve read these as they are imported.
    os.environ.setdefault("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", _CALLBACK)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from momalisa.service.on_ray.application import deploy, ray_here, wait_until_it_runs

    began = time.monotonic()
    print("starting Ray, the service and its model: half a minute or more …", flush=True)
    with ray_here(
        host=flags.host, port=flags.port, num_cpus=_num_cpus(structure), verbose=flags.verbose, traces=flags.traces
    ):
        deploy(structure, life)
        wait_until_it_runs(_READY_S)
        address = f"http://{'localhost' if flags.host == _LOCALHOST else flags.host}:{flags.port}"
        _wait_until_ready(f"{address}/readyz")
        print(f"ready after {time.monotonic() - began:.0f} s: {address} (Ctrl-C ends it)", flush=True)
        print(f"logs: {structure.log_folder}", flush=True)
        _stay(lambda: _change(flags, lambda life: deploy(structure, life)))
        print("stopping: walks that are not done go on at the next start", flush=True)
    return 0


def _stay(on_hangup: Callable[[], None]) -> None:
    """Until SIGINT or SIGTERM."""
    hung_up = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, lambda *_: hung_up.set())
    with suppress(KeyboardInterrupt):
        while hung_up.wait():
            hung_up.clear()
            on_hangup()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it is stopping, which takes seconds


def _change(flags: argparse.Namespace, deploy: Callable[[Life], None]) -> None:
    """What the file says now, if it can be."""
    if flags.config is None:
        print("there is no --config to read again", flush=True)
        return
    try:
        deploy(_life(flags))
    except MomalisaError as e:
        print(f"error: {e}; nothing was changed", file=sys.stderr, flush=True)
    else:
        print(f"{flags.config} was read again", flush=True)


def _life(flags: argparse.Namespace) -> Life:
    """What the file says, with the models of the command line where it names some."""
    life = Life()
    if flags.config is not None:
        try:
            life = from_dict(Life, json.loads(flags.config.read_text("utf-8")))
        except (OSError, ValueError) as e:
            raise ConfigError(f"--config {flags.config}: {e}") from e
    if flags.model is None:
        return life
    models = tuple(_model(text) for text in flags.model)
    return replace(life, conductor=replace(life.conductor, models=models))


def _structure(flags: argparse.Namespace) -> Structure:
    folder = Path(flags.state)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigError(f"--state {folder} cannot be made: {e.strerror}") from e
    least, most = _renderers(flags.renderers)
    cores = max(1.0, float((os.cpu_count() or 1) // most))
    structure = Structure(
        bucket=flags.bucket or str((folder / "bucket").resolve()),
        release=flags.release,
        renderer=Scale(min_replicas=least, max_replicas=most, num_cpus=cores, num_gpus=flags.gpus_per_renderer),
        max_models_per_renderer=len(flags.model or [""]),
        is_open=flags.open,
        session_secrets_file=_session_secrets(folder / "session-secrets"),
        keys_file=None if flags.keys is None else flags.keys.resolve(),
        web_folder=_WEB_FOLDER if _WEB_FOLDER.is_dir() else None,
        log_encoding="TEXT" if flags.verbose else "JSON",
        log_folder=(folder / "logs").resolve(),
    )
    return override(structure, flags.set)


def _renderers(text: str) -> tuple[int, int]:
    """Least and most, of `2` or `0-2`."""
    least, _, most = text.partition("-")
    if not all(part.isascii() and part.isdigit() for part in (least, most or least)):
        raise ConfigError(f"--renderers {text!r}: say how many, such as 2, or from how many to how many, such as 0-2")
    low, high = int(least), int(most or least)
    if high < 1:
        raise ConfigError(f"--renderers {text}: nobody would draw; 0-1 is one that sleeps while there is nothing to do")
    if low > high:
        raise ConfigError(f"--renderers {text}: the smaller number comes first: {high}-{low}")
    return low, high


def _model(text: str) -> ServedModel:
    """`tiny`, a URI, or `id=URI`."""
    given, equals, uri = text.partition("=")
    if not equals:
        given, uri = text.rstrip("/").rpartition("/")[2], text
    if not given or not uri:
        raise ConfigError(f"--model {text!r}: say a hub id, folder or URI, or id=URI")
    if uri == "tiny":
        return replace(TINY, id=given)
    return ServedModel(id=given, uri=uri)


def _session_secrets(path: Path) -> Path:
    """A file with a secret, made at the first start: visitors keep their sessions over restarts."""
    with suppress(FileExistsError):
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(_SECRET_BYTES) + "\n")
    return path.resolve()


def _num_cpus(structure: Structure) -> int:
    """Room for all replicas by Ray's count: all but the renderers are idle most of the time."""
    scales = (structure.gateway, structure.text_encoder, structure.renderer, structure.assembler)
    return math.ceil(sum(scale.max_replicas * scale.num_cpus for scale in scales))


def _check_port(host: str, port: int) -> None:
    if not 0 < port < 1 << 16:
        raise ConfigError(f"--port {port}: take one from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            raise ConfigError(f"{host}:{port} cannot be served on: {e.strerror}; take another --port") from e


def _check_exporter() -> None:
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as e:
        raise ConfigError("--traces needs OpenTelemetry's exporter: pip install 'momalisa[traces]'") from e


def _wait_until_ready(url: str) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.get(url, timeout=10).status_code == httpx.codes.OK:
                return
        time.sleep(_LOOK_S)
    raise ServiceError(f"{url} did not become ready within {_READY_S:.0f} s: start again with --verbose")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve walks on this machine: a page, and a REST API.")
    parser.add_argument("--host", default=_LOCALHOST, help="%(default)s; 0.0.0.0 for everybody in the network")
    parser.add_argument("--port", type=int, default=8000, help="%(default)s")
    parser.add_argument("--state", default="runs/serve", metavar="DIR", help="secrets, and the bucket; %(default)s")
    parser.add_argument("--bucket", metavar="URI", help="a folder or gs:// URI; by default in --state")
    parser.add_argument(
        "--model",
        action="append",
        metavar="[ID=]URI",
        help="hub id, folder, URI, or tiny (default); may be given again",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="JSON: models, limits (momalisa.service.structure.Life); SIGHUP reads it again",
    )
    parser.add_argument(
        "--renderers",
        default="1",
        metavar="N",
        help="that share the cores; %(default)s. 0-2: as many as there is work for, asleep while there is none",
    )
    parser.add_argument("--gpus-per-renderer", type=float, default=0.0, metavar="G", help="may be a part of one")
    parser.add_argument("--open", action="store_true", help="anybody may ask for walks, without key or session")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="API keys; see the service's README")
    parser.add_argument(
        "--traces", action="store_true", help="OpenTelemetry, to the collector at $OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    parser.add_argument(
        "--release",
        default="",
        metavar="NAME",
        help="of two on one bucket, the one whose first visitor came later serves",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=C",
        help="of momalisa.service.structure.Structure, such as renderer.downscale_delay_s=60; may be given again",
    )
    parser.add_argument("--verbose", action="store_true", help="print what Ray and the replicas log")
    return parser.parse_args(arguments)
