"""Everything a rank does before its first step: models, data, the base model's pictures, a checkpoint."""

import secrets

from momalisa.artworks.cache import DatasetCache, find_cache
from momalisa.artworks.dataset import StoredDataset
from momalisa.caches import cache_folder
from momalisa.config import to_dict
from momalisa.storage import Store
from momalisa.training.baseline import establish
from momalisa.training.checkpoint_io import CheckpointWriter
from momalisa.training.evaluation import Evaluator
from momalisa.training.learner import Learner
from momalisa.training.loader import TrainLoader
from momalisa.training.loop import Progress, Tools
from momalisa.training.replay import DrawnLatents, draw_base_latents
from momalisa.training.reporter import Reporter
from momalisa.training.resume import restore
from momalisa.training.run import Host, RunSpec
from momalisa.training.stopping import StopWatch
from momalisa.training.world import World

_IMAGES_PER_OUTSIDE_PROMPT = 4


def set_up(spec: RunSpec, host: Host, world: World) -> tuple[Tools, StoredDataset, Progress]:
    """Makes what the loop needs, at step 0 or at the newest intact checkpoint. Collective."""
    config, output = spec.config, spec.output
    reporter = Reporter(spec, host, world)
    reporter.stage("loading the model", 0)
    learner = Learner(config, world)
    dataset = StoredDataset.open(spec.data_uri)
    cache = _usable_cache(dataset, learner)
    replay, outside = _draw_what_is_known(learner, world, output, reporter)
    evaluator = Evaluator(learner, world, dataset, cache, outside)
    reporter.stage("measuring the base model", 0)
    baseline = establish(evaluator, learner, dataset, world, output)
    attempt = world.broadcast(secrets.token_hex(3))
    progress = restore(output.child("checkpoints"), learner, world, reporter.say)
    reporter.begin(progress.step, baseline)
    loader = TrainLoader(
        dataset,
        config.data,
        seed=config.seed,
        global_batch_size=config.global_batch_size,
        with_perturbation=config.objective.input_perturbation > 0,
        cache=cache,
        start_step=progress.step,
        stop_step=config.max_steps,
        local_cache_dir=cache_folder("shards"),
        **learner.loader_arguments(world),
    )
    tools = Tools(
        learner=learner,
        world=world,
        host=host,
        loader=loader,
        evaluator=evaluator,
        writer=CheckpointWriter(output.child("checkpoints"), config.checkpoint, world, attempt=attempt),
        reporter=reporter,
        stop_watch=StopWatch(output, active=world.is_main),
        replay=replay,
        identity={
            "config": to_dict(config),
            "dataset_fingerprint": dataset.manifest.fingerprint,
            "model_fingerprints": learner.components.fingerprints,
        },
        baseline=baseline,
    )
    return tools, dataset, progress


def _usable_cache(dataset: StoredDataset, learner: Learner) -> DatasetCache | None:
    return find_cache(
        dataset,
        fingerprints=learner.components.fingerprints,
        data_config=learner.config.data,
        with_text=not learner.config.model.train_text_encoder,
    )


def _draw_what_is_known(
    learner: Learner, world: World, output: Store, reporter: Reporter
) -> tuple[DrawnLatents | None, DrawnLatents]:
    """Pictures of the base model to replay, and those to measure forgetting on."""
    config = learner.config
    replay = None
    if config.replay is not None:
        reporter.stage("drawing replay pictures with the base model", 0)
        replay = draw_base_latents(
            learner,
            world,
            output,
            "replay",
            config.replay.prompts,
            config.replay.num_images,
            num_inference_steps=config.replay.num_inference_steps,
            guidance_scale=config.replay.guidance_scale,
            seed=config.seed + 10_000,
        )
    reporter.stage("drawing what should not be forgotten", 0)
    outside = draw_base_latents(
        learner,
        world,
        output,
        "outside",
        config.validation.forgetting_prompts,
        _IMAGES_PER_OUTSIDE_PROMPT * len(config.validation.forgetting_prompts),
        num_inference_steps=config.validation.num_inference_steps,
        guidance_scale=config.validation.guidance_scale,
        seed=config.validation.seed + 20_000,
    )
    return replay, outside
