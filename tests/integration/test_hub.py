"""Models by hub id, from a hub of our own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.hub import serve_hub
from tests.support.small_model import write_small_model

HUB_ID = "museum/paintings"


def load(hub_id: str, url: str, home: Path, revision: str | None = None) -> subprocess.CompletedProcess[str]:
    script = (
        "from momalisa.diffusion.loading import load_components\n"
        "from momalisa.errors import ModelError\n"
        "try:\n"
        f"    components = load_components({hub_id!r}, revision={revision!r})\n"
        "    print('loaded', sorted(components.fingerprints))\n"
        "except ModelError as e:\n"
        "    print('error', e)\n"
    )
    # The hub's client reads its settings when it is imported.
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)


def test_a_hub_id_brings_the_parts_and_nothing_else(tmp_path: Path) -> None:
    folder = write_small_model(tmp_path / "repository")
    for name in (
        "whole-model.safetensors",
        "unet/model.fp16.safetensors",
        "unet/model.bin",
        "safety_checker/model.safetensors",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"unwanted")
    with serve_hub(HUB_ID, folder) as hub:
        done = load(HUB_ID, hub.url, tmp_path / "home")
    assert "loaded ['text_encoder', 'unet', 'vae']" in done.stdout, done.stderr
    weights = sorted(key for key in hub.downloaded if not key.endswith((".json", ".txt")))
    assert weights == [
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]


def test_an_unknown_hub_id_says_what_to_check(tmp_path: Path) -> None:
    with serve_hub(HUB_ID, write_small_model(tmp_path / "repository")) as hub:
        done = load("museum/painting", hub.url, tmp_path / "home")
    assert "error museum/painting cannot be had from the hub" in done.stdout, done.stderr
    assert "check the id" in done.stdout
