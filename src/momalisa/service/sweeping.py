"""Applies the retention of a service's configuration to its bucket, from outside: what the chart's CronJob runs.

    python -m momalisa.service.sweeping serve.yaml

The conductor does the same while it runs, and knows which frames are wanted by works that it leads. From here nobody
knows: while a release lives, or works wait for one, nothing goes, and the conductor or the next time sees to it.
"""

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from momalisa.config import from_dict
from momalisa.errors import ConfigError, ConflictError, MomalisaError
from momalisa.service.generations import Generations
from momalisa.service.leases import Leases, held
from momalisa.service.records import Records
from momalisa.service.retention import LEASE, Retention, RetentionConfig, Swept
from momalisa.storage import Store, open_store
from momalisa.terminal import failed

_SWEEPER = "sweeper"
_SILENCE_S = 15.0
_RENEW_S = 3.0
_PATIENCE_S = 15.0
_LOOK_S = 2.0
_WAIT_S = 120.0
"""For the lease: whoever died with it is waited for until its patience is over."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code is 0, 2 for wrong input, else 1."""
    parser = argparse.ArgumentParser(description="Remove from a service's bucket what its retention says.")
    parser.add_argument("config", type=Path, help="Ray Serve's configuration, as the chart's ConfigMap has it")
    flags = parser.parse_args(arguments)
    try:
        bucket, config = read(flags.config)
        swept = asyncio.run(sweep(open_store(bucket), config))
    except MomalisaError as e:
        return failed(e)
    sys.stdout.write(
        "nothing was swept: the service runs or works wait for it, and it sweeps by itself\n"
        if swept is None
        else f"swept: {swept.num_walks} walks, {swept.num_works} works, {swept.num_objects} objects\n"
    )
    return 0


def read(path: Path) -> tuple[str, RetentionConfig]:
    """The bucket, and how long things are kept there. Raises ConfigError."""
    try:
        told: Mapping[str, Any] = yaml.safe_load(path.read_text("utf-8"))
        application = told["applications"][0]
        bucket = application["args"]["bucket"]
        lives = {each["name"]: each.get("user_config") or {} for each in application.get("deployments", ())}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, IndexError, TypeError) as e:
        raise ConfigError(f"{path} is no configuration of the service for Ray Serve: {e!r}") from e
    return bucket, from_dict(RetentionConfig, lives.get("conductor", {}).get("retention") or {})


async def sweep(
    store: Store,
    config: RetentionConfig,
    *,
    clock: Callable[[], float] = time.time,
    wait_s: float = _WAIT_S,
    silence_s: float = _SILENCE_S,
) -> Swept | None:
    """None where a release lives or works are at hand. Raises ConflictError where another process sweeps all the time.

    silence_s: a release that says nothing for so long is gone.
    """
    if await _is_served(store, silence_s):
        return None
    leases = Leases(store, secrets.token_hex(8), patience_s=_PATIENCE_S)
    until = time.monotonic() + wait_s
    while True:
        async with held(leases, LEASE, renew_s=_RENEW_S) as is_mine:
            if is_mine:
                return await asyncio.to_thread(_sweep, store, config, clock)
        if time.monotonic() >= until:
            raise ConflictError("another process sweeps this bucket: let it, or try again later")
        await asyncio.sleep(_LOOK_S)


async def _is_served(store: Store, silence_s: float) -> bool:
    """By what releases say of themselves: heard twice, since who is gone may have spoken before."""
    releases = Generations(store, _SWEEPER, patience_s=silence_s)
    if not await asyncio.to_thread(releases.living):
        return False
    await asyncio.sleep(silence_s)
    return bool(await asyncio.to_thread(releases.living))


def _sweep(store: Store, config: RetentionConfig, clock: Callable[[], float]) -> Swept | None:
    if Records(store).waiting_works():
        return None
    return Retention(store, config, clock).sweep(set)


if __name__ == "__main__":
    sys.exit(main())
