"""The end of a run: what it came to, and the model for others."""

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from momalisa.artworks.dataset import StoredDataset
from momalisa.config import to_dict
from momalisa.diffusion.loading import Part, load_components
from momalisa.export_manifest import MANIFEST_FILE, ExportManifest
from momalisa.storage import Store
from momalisa.training.baseline import Baseline
from momalisa.training.estimates import estimate_loss, paired_difference
from momalisa.training.evaluation import Measurement
from momalisa.training.export import export_lora, export_pipeline
from momalisa.training.grids import before_after
from momalisa.training.learner import Learner
from momalisa.training.loop import Progress, Tools
from momalisa.training.model_card import ModelCard, write_model_card
from momalisa.training.recognition import recognise
from momalisa.training.resume import return_to_best
from momalisa.training.run import RUN_FILE, RunRecord, RunSpec
from momalisa.training.style_score import style_features, style_score
from momalisa.training.summary import SUMMARY_FILE, RunSummary
from momalisa.training.verdict import Evidence, Verdict, judge

BEFORE_AFTER = "before_after.png"
EXPORT = "export"
PATHS = {"verdict": SUMMARY_FILE, "loss curve": "loss.png", "before and after": BEFORE_AFTER, "exported model": EXPORT}

Ending = Literal["completed", "patience", "stopped"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pictures (N, H, W, 3) uint8 by the trained weights, for the style score and for the style classifier."""

    in_style: Any
    to_recognise: Any | None


def finish(
    spec: RunSpec, tools: Tools, dataset: StoredDataset, ended: Ending, progress: Progress, began: float
) -> None:
    """Measures, judges, exports and writes `summary.json`, last. Collective. A stopped run only says where it is."""
    learner, reporter = tools.learner, tools.reporter
    if ended == "stopped":
        if tools.world.is_main:
            reporter.upload()
            _write(spec.output, _summary(spec, tools, ended, progress, began, None))
        return
    if ended == "patience":
        # The last weights are those that patience was lost with.
        tools.writer.wait()
        tools.world.barrier()
        return_to_best(spec.output.child("checkpoints"), learner, tools.world, reporter.say)
    reporter.stage("judging", progress.step)
    # Gathers the weights as they are now into the plain copy, on every rank.
    measured = tools.evaluator.measure(learner.evaluated(learner.averaged_kind))
    pictures = tools.evaluator.draw_validation_prompts()
    drawn = Drawn(tools.evaluator.draw_in_style(tools.baseline.style_captions), tools.evaluator.draw_to_recognise())
    if not tools.world.is_main:
        return
    reporter.log_validation(progress.step, measured, pictures, learner.weight_change())
    verdict = judge(_evidence(learner, tools.baseline, measured, drawn, progress))
    sheet = before_after(tools.baseline.by_prompt, pictures, f"{spec.name}: before and after {progress.step} steps")
    sheet.save(reporter.folder / BEFORE_AFTER)
    reporter.stage("exporting", progress.step)
    summary = _summary(spec, tools, ended, progress, began, verdict)
    summary = summary.model_copy(update={"export_digest": _export(spec, tools, dataset, summary)})
    reporter.tracker.log_summary({"outcome": verdict.outcome, "validation_loss": measured.validation_loss})
    reporter.upload()
    _write(spec.output, summary)


def _evidence(
    learner: Learner, baseline: Baseline, measured: Measurement, drawn: Drawn, progress: Progress
) -> Evidence:
    real, before, after = (
        style_features(learner.components.vae, pictures)
        for pictures in (baseline.style_real, baseline.style_drawn, drawn.in_style)
    )
    wanted = learner.config.validation.recognition
    return Evidence(
        validation_before=estimate_loss(baseline.measured.validation),
        validation_after=estimate_loss(measured.validation),
        validation=paired_difference(baseline.measured.validation, measured.validation),
        forgetting=baseline.forgetting_since(measured, learner.config),
        weight_change=learner.weight_change(),
        learning_rate=learner.config.optimizer.learning_rate,
        steps=progress.step,
        style=style_score(real, before, after),
        recognition=recognise(wanted, baseline.to_recognise, drawn.to_recognise) if wanted else None,
        best_validation_loss=progress.best_loss,
        best_step=progress.best_step,
    )


def _summary(
    spec: RunSpec, tools: Tools, ended: Ending, progress: Progress, began: float, verdict: Verdict | None
) -> RunSummary:
    record = RunRecord.model_validate_json(spec.output.read_bytes(RUN_FILE))
    return RunSummary(
        name=spec.name,
        ended=ended,
        step=progress.step,
        max_steps=spec.config.max_steps,
        verdict=verdict,
        wall_seconds=time.monotonic() - began,
        train_seconds=progress.train_seconds,
        images_per_s=tools.reporter.mean_images_per_s,
        num_workers=tools.world.size,
        versions=record.newest.versions,
        git_commit=record.newest.git_commit,
        dataset_fingerprint=record.dataset_fingerprint,
        model_fingerprints=record.model_fingerprints,
        warnings=tuple(tools.reporter.warnings),
        paths=PATHS if verdict is not None else {},
    )


def _export(spec: RunSpec, tools: Tools, dataset: StoredDataset, summary: RunSummary) -> str:
    """Gives the digest of what was exported."""
    learner, folder = tools.learner, tools.reporter.folder / EXPORT
    # What was frozen is taken from its source: the run's own copy is of its precision.
    parts: tuple[Part, ...] = ("tokenizer", "text_encoder", "vae", "scheduler")
    source = load_components(str(learner.components.path), parts=parts)
    own = learner.drawing_components()
    text_encoder = own.text_encoder if learner.config.model.train_text_encoder else source.text_encoder
    components = replace(own, vae=source.vae, text_encoder=text_encoder)
    if learner.config.model.lora is not None:
        text_encoder = components.text_encoder if learner.config.model.train_text_encoder else None
        export_lora(folder, unet=components.unet, text_encoder=text_encoder)
    else:
        # In fp32: of half-precision files diffusers would load fp32 parts and transformers half ones.
        export_pipeline(folder, components, dtype=torch.float32)
    (folder / "samples.png").write_bytes((tools.reporter.folder / BEFORE_AFTER).read_bytes())
    card = ModelCard(
        summary=summary,
        config=to_dict(spec.config),
        dataset_uri=spec.data_uri,
        num_train=dataset.num_rows("train"),
        num_validation=dataset.num_rows("validation"),
    )
    write_model_card(folder, card)
    tools.reporter.tracker.log_model(folder)
    manifest = ExportManifest.of(folder)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    card_file = files.pop("README.md")
    spec.output.child(EXPORT).commit(files, "README.md", card_file.read_bytes())
    return manifest.digest


def _write(output: Store, summary: RunSummary) -> None:
    output.write_bytes(SUMMARY_FILE, summary.model_dump_json(indent=1).encode())
