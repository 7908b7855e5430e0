"""The `momalisa` command: one function per verb."""

import argparse
import os
import sys

import momalisa
from momalisa.errors import MomalisaError
from momalisa.terminal import failed


def main(arguments: list[str] | None = None) -> int:
    """Runs a verb; the exit code is its own: 0, 2 for wrong input, 130 when interrupted, else 1 (jobs: see there)."""
    # Read when the libraries are imported; they warn of what does not concern whoever gives a command.
    for library in ("TRANSFORMERS", "DIFFUSERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    parser = argparse.ArgumentParser(prog="momalisa", description=momalisa.__doc__)
    parser.add_argument("--version", action="version", version=f"momalisa {momalisa.__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_walk(verbs)
    _add_jobs(verbs)
    _add_release(verbs)
    flags = parser.parse_args(arguments)
    try:
        return int(flags.run(flags))
    except MomalisaError as e:
        return failed(e)
    except KeyboardInterrupt:
        print(flags.interrupted, file=sys.stderr)
        return 130


def _add_walk(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from momalisa.walk.command import add_arguments, run

    summary = "an animation of the way from prompt to prompt"
    parser = verbs.add_parser("walk", help=summary, description=summary[0].upper() + summary[1:] + ".")
    add_arguments(parser)

    def show(flags: argparse.Namespace) -> int:
        print(run(flags))
        return 0

    parser.set_defaults(
        run=show,
        interrupted="interrupted: frames that are done are kept (but for --no-cache), the same command goes on",
    )


def _add_jobs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from momalisa.cluster.command import add_arguments

    summary = "submit jobs to a KubeRay cluster, and see what they are doing"
    parser = verbs.add_parser("jobs", help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(interrupted="interrupted")
    add_arguments(parser)


def _add_release(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from momalisa.release.command import add_arguments

    summary = "upgrade the service on KubeRay: what would happen, what happens, and which models may be served"
    parser = verbs.add_parser("release", help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(interrupted="interrupted")
    add_arguments(parser)


if __name__ == "__main__":
    sys.exit(main())
