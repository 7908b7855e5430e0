"""The end of a run: what it came to, and the model for others."""

import time
from dataclasses import asdict
from typing import Any, Literal

from momalisa.artworks.dataset import StoredDataset
from momalisa.provenance import git_commit, versions
from momalisa.training.baseline import Baseline
from momalisa.training.evaluation import Measurement
from momalisa.training.export import EXPORT, export_lora, export_pipeline, upload_folder, write_model_card
from momalisa.training.grids import before_after
from momalisa.training.learner import Learner
from momalisa.training.loop import Tools
from momalisa.training.measures import StyleScore, picture_features, relative_difference, style_score
from momalisa.training.run import RunSpec
from momalisa.training.summary import SUMMARY_FILE, RunSummary
from momalisa.training.verdict import Verdict, judge

BEFORE_AFTER = "before_after.png"
LOSS_PLOT = "loss.png"


def finish(
    spec: RunSpec,
    tools: Tools,
    dataset: StoredDataset,
    ended: Literal["completed", "patience", "stopped"],
    step: int,
    began: float,
) -> None:
    """Measures, judges, exports and writes `summary.json`, last. Collective. A stopped run only says where it is."""
    learner, reporter = tools.learner, tools.reporter
    about: dict[str, Any] = {
        "name": spec.name,
        "ended": ended,
        "step": step,
        "dataset_fingerprint": tools.identity["dataset_fingerprint"],
        "model_fingerprints": tools.identity["model_fingerprints"],
        "versions": versions(),
        "git_commit": git_commit(),
        "warnings": tuple(reporter.warnings),
        "images_per_s": reporter.images_per_s,
    }
    if ended == "stopped":
        if tools.world.is_main:
            _write(spec, RunSummary(**about, seconds=time.monotonic() - began))
            reporter.upload()
        return
    reporter.stage("judging", step)
    # The weights as they are now: `evaluated` gathers them into the plain copy on every rank.
    denoiser = learner.evaluated(learner.averaged_kind)
    measured = tools.evaluator.measure(denoiser)
    pictures = tools.evaluator.draw_validation_prompts()
    drawn = tools.evaluator.draw_in_style(tools.baseline.style_captions)
    if not tools.world.is_main:
        return
    weight_change = learner.weight_change()
    reporter.log_validation(step, measured, tools.baseline, pictures, weight_change)
    verdict, figures = _judge(learner, tools.baseline, measured, drawn, weight_change)
    sheet = before_after(tools.baseline.by_prompt, pictures, f"{spec.name}: before and after {step} steps")
    sheet.save(reporter.folder / BEFORE_AFTER)
    reporter.stage("exporting", step)
    _export(spec, tools, dataset, verdict, step)
    reporter.tracker.log(step, {"final/style_score": figures["style"]["score"]})
    reporter.upload()
    paths = {
        "verdict": SUMMARY_FILE,
        "loss curve": LOSS_PLOT,
        "before and after": BEFORE_AFTER,
        "exported model": EXPORT,
    }
    _write(spec, RunSummary(**about, **asdict(verdict), figures=figures, paths=paths, seconds=time.monotonic() - began))


def _judge(
    learner: Learner, baseline: Baseline, measured: Measurement, drawn: Any, weight_change: float
) -> tuple[Verdict, dict[str, Any]]:
    style: StyleScore = style_score(
        *(picture_features(learner.components.vae, x) for x in (baseline.style_real, baseline.style_drawn, drawn))
    )
    validation = relative_difference(baseline.measured.validation, measured.validation)
    forgetting = relative_difference(baseline.measured.forgetting, measured.forgetting)
    rate = learner.config.optimizer.learning_rate
    verdict = judge(
        validation=validation, forgetting=forgetting, weight_change=weight_change, style=style, learning_rate=rate
    )
    return verdict, {
        "validation_loss_before": baseline.measured.validation_loss,
        "validation_loss_after": measured.validation_loss,
        "validation_change": asdict(validation),
        "forgetting": asdict(forgetting),
        "weight_change": weight_change,
        "style": asdict(style),
    }


def _export(spec: RunSpec, tools: Tools, dataset: StoredDataset, verdict: Verdict, step: int) -> None:
    learner, folder = tools.learner, tools.reporter.folder / EXPORT
    is_lora = learner.config.model.lora is not None
    components = learner.drawing_components()
    if is_lora:
        export_lora(folder, components)
    else:
        export_pipeline(folder, components)
    facts = {
        "name": spec.name,
        "base": spec.config.model.uri,
        "recipe": spec.config.recipe,
        "step": step,
        "global_batch_size": spec.config.global_batch_size,
        "sentence": verdict.sentence,
        "num_rows": dataset.num_rows("train"),
        "dataset_fingerprint": dataset.manifest.fingerprint,
        "prompt": spec.config.validation.prompts[0],
        "versions": versions(),
    }
    write_model_card(folder, facts, is_lora=is_lora)
    (folder / "samples.png").write_bytes((tools.reporter.folder / BEFORE_AFTER).read_bytes())
    tools.reporter.tracker.log_model(folder)
    upload_folder(folder, spec.output.child(EXPORT))


def _write(spec: RunSpec, summary: RunSummary) -> None:
    spec.output.write_bytes(SUMMARY_FILE, summary.model_dump_json(indent=1).encode())
