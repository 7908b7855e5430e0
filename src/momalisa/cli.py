"""The `momalisa` command: one function per verb."""

import argparse
import os
import sys

import momalisa
from momalisa.errors import MomalisaError
from momalisa.terminal import failed


def main(arguments: list[str] | None = None) -> int:
    """Runs a verb; the exit code is 0, 2 for wrong input, 130 when interrupted, else 1."""
    # Read when the libraries are imported; they warn of what does not concern whoever gives a command.
    for library in ("TRANSFORMERS", "DIFFUSERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    parser = argparse.ArgumentParser(prog="momalisa", description=momalisa.__doc__)
    parser.add_argument("--version", action="version", version=f"momalisa {momalisa.__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_walk(verbs)
    flags = parser.parse_args(arguments)
    try:
        print(flags.run(flags))
    except MomalisaError as e:
        return failed(e)
    except KeyboardInterrupt:
        print(
            "interrupted: frames that are done are kept (but for --no-cache), the same command goes on", file=sys.stderr
        )
        return 130
    return 0


def _add_walk(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from momalisa.walk.command import add_arguments, run

    summary = "an animation of the way from prompt to prompt"
    parser = verbs.add_parser("walk", help=summary, description=summary[0].upper() + summary[1:] + ".")
    add_arguments(parser)
    parser.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
