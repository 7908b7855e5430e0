"""Turn captioned artworks into a dataset of Parquet shards.

python jobs/prepare.py --input URI --output URI [--caption-template T] [--cache MODEL --resolution N]
"""

import argparse
import sys

from momalisa.artworks.captions import DEFAULT_TEMPLATE
from momalisa.errors import ConfigError, MomalisaError
from momalisa.terminal import failed


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; the exit code is 0, 2 for wrong input, else 1."""
    flags = _parse(arguments)
    try:
        _run(flags)
    except MomalisaError as e:
        return failed(e)
    return 0


def _run(flags: argparse.Namespace) -> None:
    from momalisa.artworks.prepare import PrepareConfig, prepare

    try:
        config = PrepareConfig(
            caption_template=flags.caption_template,
            validation_share=flags.validation_share,
            min_side=flags.min_side,
            shard_rows=flags.shard_rows,
        )
    except ValueError as e:
        raise ConfigError(str(e)) from e
    if flags.input is not None:
        prepare(config, flags.input, flags.output, overwrite=flags.overwrite, parallelism=flags.parallelism)
    if flags.cache:
        from momalisa.artworks.cache_writer import print_progress, write_cache

        write_cache(
            flags.output,
            flags.cache,
            resolution=flags.resolution,
            aspect_buckets=flags.aspect_buckets,
            text=not flags.no_text,
            revision=flags.revision,
            progress=print_progress,
        )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Turn captioned artworks into a dataset of Parquet shards.")
    parser.add_argument(
        "--input", metavar="URI", help="images with metadata.jsonl, a CSV, or Parquet; none: cache only"
    )
    parser.add_argument("--output", required=True, metavar="URI", help="the dataset's folder")
    parser.add_argument("--caption-template", default=DEFAULT_TEMPLATE, metavar="T", help="over the columns: {title}")
    parser.add_argument("--validation-share", type=float, default=0.05, metavar="S")
    parser.add_argument("--min-side", type=int, default=32, metavar="PX")
    parser.add_argument("--shard-rows", type=int, default=1024, metavar="N")
    parser.add_argument("--parallelism", type=int, metavar="N", help="cores to use on this machine")
    parser.add_argument("--overwrite", action="store_true", help="replace the dataset in the output folder")
    parser.add_argument("--cache", metavar="MODEL", help="also encode the pictures with this model's VAE")
    parser.add_argument("--revision", metavar="R", help="of the model, where it is a hub id")
    parser.add_argument("--resolution", type=int, default=512, metavar="PX", help="of the cache")
    parser.add_argument("--aspect-buckets", action="store_true", help="cache buckets of the pictures' own shapes")
    parser.add_argument("--no-text", action="store_true", help="cache no text embeddings: the text encoder will learn")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
