"""One rank's run from beginning to end."""

import time
from typing import cast

from momalisa.training.finish import Ending, finish
from momalisa.training.loop import run_steps
from momalisa.training.run import Host, RunSpec
from momalisa.training.setup import set_up
from momalisa.training.world import World


def train(spec: RunSpec, host: Host, world: World) -> None:
    """Trains from the newest intact checkpoint in the run's folder, or from step 0, to the end. Collective.

    Raises TrainingError for a run that cannot go on, InputError for input that preflight could not see.
    """
    began = time.monotonic()
    tools, dataset, progress = set_up(spec, host, world)
    try:
        with tools.loader:
            ended = run_steps(tools, progress)
        finish(spec, tools, dataset, cast(Ending, ended), progress, began)
        tools.writer.wait()
        world.barrier()
    finally:
        tools.stop_watch.close()
        tools.writer.close()
        tools.reporter.close()
