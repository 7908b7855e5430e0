"""Tries a service out, as `helm test` does: is it ready, is the page there, does a walk come to its GIF?

python -m momalisa.client.check http://localhost:8000 --page --walk
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from momalisa.client.asking import Asker, Patience
from momalisa.client.blocking import Client
from momalisa.client.wire import AsLocalhost, BlockingWire, Request, run
from momalisa.errors import ConfigError, MomalisaError, ServiceError
from momalisa.terminal import failed

if TYPE_CHECKING:
    import httpx

_PROMPTS = ("blue dots on a yellow ground", "red stripes on white")
_NUM_FRAMES = 6
_NUM_STEPS = 8
_MANY_DISCONNECTS = 10_000
"""A service that has only just been asked for takes no connections yet: until its time is over it is asked again."""


def main(arguments: list[str] | None = None, *, transport: "httpx.BaseTransport | None" = None) -> int:
    """The exit code is 0, 2 for wrong input, 1 for a service that does not do what it should."""
    flags = _parse(arguments)
    try:
        key = None if flags.key_file is None else _read(flags.key_file)
        check(flags.url, key, has_page=flags.page, walks=flags.walk, timeout_s=flags.timeout_s, transport=transport)
    except MomalisaError as e:
        return failed(e)
    return 0


def check(
    url: str,
    key: str | None = None,
    *,
    has_page: bool,
    walks: bool,
    timeout_s: float,
    transport: "httpx.BaseTransport | None" = None,
) -> None:
    """`timeout_s`: for all of it. Raises what the client raises, ServiceError for answers that are not what they should
    be."""
    ends = time.monotonic() + timeout_s
    wire = BlockingWire(url, key, AsLocalhost(transport))
    run(Asker(wire, _patience(ends), is_known=True).ask(Request(path="/readyz")))  # nothing but looking
    _say("ready: a model has drawn a picture")
    if has_page and b"<html" not in run(Asker(wire, _patience(ends), is_known=True).ask(Request(path="/"))).lower():
        raise ServiceError(f"{url}/ is no page: is page.enabled set, and is this momalisa?")
    if has_page:
        _say("the page is there")
    wire.close()
    with Client(url, key, patience=_patience(ends), transport=AsLocalhost(transport)) as client:
        models = client.models()
        if not models:
            raise ServiceError("no model is served: name one in the values' models")
        _say(f"served: {', '.join(model.id for model in models)}")
        if walks:
            _walk(client, ends)


def _patience(ends: float) -> Patience:
    return Patience(deadline_s=max(0.0, ends - time.monotonic()), max_disconnects=_MANY_DISCONNECTS)


def _walk(client: Client, ends: float) -> None:
    began = time.monotonic()
    timeout_s = max(0.0, ends - began)
    walk = client.walk(
        *_PROMPTS, num_frames=_NUM_FRAMES, num_inference_steps=_NUM_STEPS, timeout_s=timeout_s, on_progress=_ignore
    )
    with tempfile.TemporaryDirectory() as folder:
        content = walk.save(Path(folder) / "walk.gif").read_bytes()
    if not content.startswith(b"GIF8"):
        raise ServiceError(f"the animation of walk {walk.id} is no GIF: it begins with {content[:8]!r}")
    _say(f"walk {walk.id}: {walk.progress.frames_total} frames, {len(content)} bytes, {time.monotonic() - began:.1f} s")
    walk.delete()


def _ignore(_: object) -> None:
    """A bar belongs on no log."""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"--key-file {path} cannot be read: {e}") from e


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Try a momalisa service out.")
    parser.add_argument("url", help="such as http://localhost:8000")
    parser.add_argument("--page", action="store_true", help="the page must be there")
    parser.add_argument("--walk", action="store_true", help="make a walk, and see its GIF")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="an API key, where visitors may not ask")
    parser.add_argument("--timeout-s", type=float, default=300.0, metavar="S", help="for all of it; %(default)s")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
