"""The run's report: one HTML file with figures, curves and images, for reading without anything else."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from models.bundle_files.manifest import load_bundle
from models.config import config_values
from models.run_folder import ENVIRONMENT, LOG, REPORT
from training.data.tagged import TaggedImage
from training.evaluation.stored_results import read_tagged
from training.metrics.plain_names import plain_name
from training.pipeline.config import PipelineConfig, ReportConfig
from training.pipeline.losses import losses_html
from training.pipeline.report_images import encode_jpeg, image_score, path_panels
from training.pipeline.report_plots import dropped_by_step, loss_against_error, loss_curves, read_log
from training.pipeline.report_summary import few_images, next_steps, reached
from training.pipeline.report_words import words_link, words_section
from training.proposals.graph_runner import GraphRunner
from training.pseudo_labels.config import PseudoLabelConfig
from training.runs.stage import DONE
from weaksam.files.atomic import read_json, write_text
from weaksam.files.html_page import figure, html_page, section, sentence_list, table

# Not figures of the measurement but of what was measured.
DESCRIPTIONS = ("images", "objects", "problems")


@dataclass(frozen=True)
class Evaluated:
    """A bundle's evaluation on one data set: its name, the data's, the images, their results and the figures.

    Without figures if there was nothing to measure; the images are then all to be shown.
    """

    bundle: str
    data: str
    images: Sequence[TaggedImage]
    results_dir: Path
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class ReportInputs:
    """What a run has to show.

    Attributes:
        run_dir: the run's folder, with ``config.json``, ``environment.json`` and ``bundle``.
        config: its settings.
        stages: folders of the trainings by name, in their order.
        weak_bundle: folder of the bundle that pseudo ground truth is made with.
        evaluated: evaluations of every bundle, the final one last.
        pgt_rule: rule of pseudo ground truth, shown on the weak detector's results.
        images_of: number of training images by class.
        losses: where objects or tags are lost, by the data set's name, see `training.pipeline.losses`.
    """

    run_dir: Path
    config: PipelineConfig
    stages: Mapping[str, Path]
    weak_bundle: Path
    evaluated: Sequence[Evaluated]
    pgt_rule: PseudoLabelConfig
    images_of: Mapping[str, int]
    losses: Mapping[str, dict[str, Any]]


def write_report(inputs: ReportInputs, path: Path) -> None:
    """Write the report."""
    measured = [row for row in inputs.evaluated if row.metrics]
    parts = [
        _summary(inputs, measured),
        *(section(f"Images of {data}", _images(inputs, data)) for data in _data_names(inputs.evaluated)),
        section("Where objects are lost", losses_html(inputs.losses)),
        section("Figures", _figures(measured)),
        *(section(f"Classes of {row.data}, {row.bundle}", _class_table(row.metrics)) for row in measured),
        *(section(f"Training: {stage}", _stage(folder)) for stage, folder in inputs.stages.items()),
    ]
    words = words_section(parts)
    parts = [parts[0], words_link() if words else "", *parts[1:], words]
    parts.append(section("Settings and environment", _settings(inputs)))
    write_text(path, html_page(f"{inputs.config.bundle.name} {inputs.config.bundle.version}", parts))


def _summary(inputs: ReportInputs, measured: Sequence[Evaluated]) -> str:
    """Say in words what the final bundle reached, and what to do next."""
    final = list({row.data: row for row in measured}.values())  # the last bundle of each data set
    if not final:
        return sentence_list(few_images(inputs.images_of))
    steps = chain.from_iterable(next_steps(row.data, row.metrics, inputs.images_of) for row in final)
    return sentence_list(chain.from_iterable(reached(row.data, row.metrics) for row in final)) + section(
        "What to do next", sentence_list(steps)
    )


def _data_names(evaluated: Sequence[Evaluated]) -> list[str]:
    return list(dict.fromkeys(row.data for row in evaluated))


def _figures(evaluated: Sequence[Evaluated]) -> str:
    """Draw one table for each data set: a column for each bundle."""
    if not evaluated:
        return "<p>Nothing was measured: the run had no test images.</p>"
    tables = []
    for data in _data_names(evaluated):
        mine = [row for row in evaluated if row.data == data]
        columns = {row.bundle: _flat(row.metrics) for row in mine}
        names = list(dict.fromkeys(name for values in columns.values() for name in values))
        rows = [[plain_name(name), *(_number(columns[bundle].get(name)) for bundle in columns)] for name in names]
        counts = ", ".join(f"{mine[0].metrics[name]} {name}" for name in ("images", "objects"))
        tables.append(f"<h3>{html.escape(data)}: {counts}</h3>{table(['', *columns], rows)}")
    return "".join(tables)


def _flat(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a report by name; those in one more level as ``name at key``."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, int | float) and name not in DESCRIPTIONS:
            flat[name] = value
        elif isinstance(value, dict) and all(isinstance(inner, int | float) for inner in value.values()):
            flat |= {f"{name} at {key}": inner for key, inner in value.items()}
    return flat


def _class_table(metrics: Mapping[str, Any]) -> str:
    rows_of = {label: {"objects": row["objects"], **_flat(row)} for label, row in metrics["per_class"].items()}
    names = list(dict.fromkeys(name for row in rows_of.values() for name in row))
    rows = [[label, *(_number(row.get(name)) for name in names)] for label, row in rows_of.items()]
    return table(["class", *map(plain_name, names)], rows)


def _stage(folder: Path) -> str:
    """Show how long a stage took, what its own report measured, and its curves."""
    seconds = read_json(folder / DONE)["elapsed_s"]
    body = f"<p>The session that finished it took {seconds:g} s.</p>"
    if (folder / REPORT).is_file():
        report = read_json(folder / REPORT)
        figures = [[plain_name(name), _number(value)] for name, value in _flat(report).items()]
        body += table(["measure", "value"], figures) if figures else ""
        body += _rules(report["compared"]) if "compared" in report else ""
    return body + _curves(folder)


def _rules(compared: Mapping[str, Any]) -> str:
    """Show how many true objects each rule of pseudo ground truth finds, if true boxes are known."""
    names = ("precision", "recall", "instances_per_image")
    rows = [["top1", *(_number(compared["top1"][name]) for name in names)]]
    for rule, setting in (("adaptive", "keep_share"), ("threshold", "min_score")):
        rows += [
            [f"{rule}, {setting} {_number(row[setting])}", *(_number(row[name]) for name in names)]
            for row in compared[rule]
        ]
    return table(["rule", *names], rows)


def _curves(folder: Path) -> str:
    log = read_log(folder / LOG)
    if not log:
        return ""
    body = f"<p>Last step logged: {log[-1]['step']}.</p>"
    body += figure(loss_curves(log), "losses", "png")
    if "rois_by_loss" in log[0]:
        body += figure(loss_against_error(log), "foreground RoIs and error rate by normalised loss", "png")
        body += figure(dropped_by_step(log), "RoI drop", "png")
    return body


def _images(inputs: ReportInputs, data: str) -> str:
    """Show the path of the best, the worst and the named images of one data set."""
    mine = [row for row in inputs.evaluated if row.data == data]
    weak, final = mine[0], mine[-1]
    runner = GraphRunner(load_bundle(inputs.weak_bundle))
    parts = []
    for image, score in select_images(inputs.config.report, final):
        of_weak, of_final = (read_tagged(row.results_dir, image.id) for row in (weak, final))
        panels = path_panels(runner, image, of_weak, of_final, inputs.pgt_rule)
        shown = [figure(encode_jpeg(panel.image_hwc_u8), panel.title, "jpeg") for panel in panels]
        title = f"{image.id}: {', '.join(image.tags)}" + (f" (F1 {score:.2f})" if final.metrics else "")
        parts.append(f"<h3>{html.escape(title)}</h3>{''.join(shown)}")
    legend = (
        "<p>Proposals: orange from peaks, blue from boxes, the prompt map or the grid. Boxes: green true, red found. "
        "The PGT rule is shown on the weak detector's result for this image, from which nothing was learnt."
        f"{' Ordered by F1 at IoU 0.5, best first.' if final.metrics else ''}</p>"
    )
    return legend + "".join(parts)


def select_images(config: ReportConfig, final: Evaluated) -> list[tuple[TaggedImage, float]]:
    """Return the images asked for by id, the best and the worst, each once, with their scores, best first."""
    scored = [
        (image, image_score(image, read_tagged(final.results_dir, image.id))) for image in final.images if image.tags
    ]
    if not final.metrics:
        shown = {image.id for image in shown_images(config, final.images)}
        return [row for row in scored if row[0].id in shown]
    scored.sort(key=lambda row: (-row[1], row[0].id))
    ends = scored[: config.best] + scored[len(scored) - min(config.worst, len(scored)) :]
    ids = {image.id for image, _ in ends} | set(config.chosen)
    return [row for row in scored if row[0].id in ids]


def shown_images(config: ReportConfig, images: Sequence[TaggedImage]) -> list[TaggedImage]:
    """Return, if nothing can be measured, the images asked for by id and as many as would be best and worst."""
    every = max(1, len(images) // max(1, config.best + config.worst))
    spread = images[::every][: config.best + config.worst]
    ids = {image.id for image in spread} | set(config.chosen)
    return [image for image in images if image.id in ids]


def _settings(inputs: ReportInputs) -> str:
    environment = read_json(inputs.run_dir / ENVIRONMENT)
    texts = (json.dumps(values, indent=1) for values in (environment, config_values(inputs.config)))
    return "".join(f"<pre>{html.escape(text)}</pre>" for text in texts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
