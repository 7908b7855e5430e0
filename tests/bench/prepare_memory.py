"""Peak memory of `jobs/prepare.py`: it must not grow with the number of pictures.

    python tests/bench/prepare_memory.py [--small 4000] [--large 20000] [--parallelism 2] [--json FILE]

Measured is PSS (resident memory, shared pages divided among those who share them), summed over the job and all that it
starts, Ray included, with a fixed object store. `ratio` is the peak with the large number of pictures over that with
the small one; it may be at most 1.1.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from tests.support.memory import watching_memory

_ROOT = Path(__file__).parents[2]
_SIDE = 256
_MAX_RATIO = 1.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=4000, help="pictures")
    parser.add_argument("--large", type=int, default=20_000, help="pictures")
    parser.add_argument("--parallelism", type=int, default=2, help="cores for Ray")
    parser.add_argument("--json", type=Path, metavar="FILE")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = {
            name: measure(Path(scratch) / name, getattr(flags, name), flags.parallelism) for name in ("small", "large")
        }
    ratio = results["large"]["peak_pss_mib"] / results["small"]["peak_pss_mib"]
    print(f"ratio {ratio:.3f} (at most {_MAX_RATIO})")
    if flags.json:
        record = {"ratio": ratio, "max_ratio": _MAX_RATIO, "parallelism": flags.parallelism, **results}
        flags.json.write_text(json.dumps(record, indent=1))
    return 0 if ratio <= _MAX_RATIO else 1


def measure(folder: Path, count: int, parallelism: int) -> dict[str, Any]:
    """Prepares so many pictures; returns the peak, and how it was made up."""
    draw(folder / "in", count)
    job = [sys.executable, "jobs/prepare.py", "--input", str(folder / "in"), "--output", str(folder / "out")]
    began = time.monotonic()
    with (
        subprocess.Popen([*job, "--parallelism", str(parallelism)], cwd=_ROOT, stderr=subprocess.DEVNULL) as process,
        watching_memory(process.pid) as peak,
    ):
        process.wait()
    if process.returncode:
        raise SystemExit(f"the job ended with {process.returncode}")
    seconds = time.monotonic() - began
    print(f"{count} pictures: peak PSS {peak.mib:.0f} MiB, {seconds:.0f} s; {peak.mib_by_process}", flush=True)
    return {
        "num_pictures": count,
        "peak_pss_mib": peak.mib,
        "seconds": seconds,
        "mib_by_process": peak.mib_by_process,
    }


def draw(folder: Path, count: int) -> None:
    """Smooth pictures with grain, JPEG, each another."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    grain = random.integers(-12, 13, (2 * _SIDE, 2 * _SIDE, 3), dtype=np.int16)
    with (folder / "metadata.jsonl").open("w") as metadata:
        for number in range(count):
            coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            smooth = np.asarray(coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
            top, left = random.integers(0, _SIDE, 2)
            pixels = np.clip(smooth + grain[top : top + _SIDE, left : left + _SIDE], 0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
            (folder / f"images/{number:06d}.jpg").write_bytes(buffer.getvalue())
            row = {"file_name": f"images/{number:06d}.jpg", "text": f"a drawing of number {number}", "year": 1900}
            metadata.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    sys.exit(main())
