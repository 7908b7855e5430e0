"""Make a file of walks, spread over a Ray cluster; what is there already is not made again.

python jobs/walk.py --requests URI --model M --output URI [--num-workers N] [--gpus-per-worker G] [--format gif]
"""

import argparse
import sys

from momalisa.errors import MomalisaError
from momalisa.terminal import failed
from momalisa.walk.animation import FORMATS


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; the exit code is 0, 2 for wrong input, 1 where a walk failed."""
    flags = _parse(arguments)
    try:
        return _run(flags)
    except MomalisaError as e:
        return failed(e)


def _run(flags: argparse.Namespace) -> int:
    from momalisa.batch.walks import RESULTS_NAME, BatchConfig, make_walks, read_jobs

    jobs = read_jobs(flags.requests, flags.model)
    config = BatchConfig(
        model=flags.model,
        output_uri=flags.output,
        format=flags.format,
        enlarge=flags.enlarge,
        num_workers=flags.num_workers,
        cpus_per_worker=flags.cpus_per_worker,
        gpus_per_worker=flags.gpus_per_worker,
    )
    results = make_walks(jobs, config)
    ended = {how: sum(result.ended == how for result in results) for how in ("done", "there", "failed")}
    print(f"{ended['done']} made, {ended['there']} there already, {ended['failed']} failed")
    print(f"all of them: {flags.output.rstrip('/')}/{RESULTS_NAME}")
    for result in results:
        if result.error is not None:
            print(f"error: {result.id}: {result.error}", file=sys.stderr)
    return 1 if ended["failed"] else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make a file of walks, spread over a Ray cluster.")
    parser.add_argument("--requests", required=True, metavar="URI", help="JSONL or Parquet, a row for each walk")
    parser.add_argument("--model", required=True, help="hub id, folder, URI, or tiny")
    parser.add_argument("--output", required=True, metavar="URI", help="a folder for each walk is made in it")
    parser.add_argument("--format", choices=FORMATS, default="gif", help="%(default)s")
    parser.add_argument("--enlarge", type=int, default=1, metavar="N", help="each pixel a square of N")
    parser.add_argument("--num-workers", type=int, metavar="N", help="as many as there is room for by default")
    parser.add_argument("--cpus-per-worker", type=float, default=1.0, metavar="C")
    parser.add_argument("--gpus-per-worker", type=float, default=0.0, metavar="G", help="may be a part of one")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
