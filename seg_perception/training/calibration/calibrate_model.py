"""Calibrates an ONNX file in every precision and writes the result to its model card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from seg_perception.errors import ConfigError, ModelError
from seg_perception.evaluation.metrics.reliability_diagram import reliability_diagram_svg
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.onnx.session import open_session
from seg_perception.inference.precision.convert import convert_precision
from seg_perception.inference.precision.fp16 import emulate_fp16
from seg_perception.inference.precision.network_part import is_quantised
from seg_perception.inference.prepared_graphs import load_card, prepare_graphs
from seg_perception.model.card import PRECISIONS, ModelCard, Precision
from seg_perception.model.logit_calibration import UNCALIBRATED
from seg_perception.risk.uniform_costs import uniform_costs
from seg_perception.sensor_data.images.folder import image_files, read_image
from seg_perception.sensor_data.images.scaled import at_network_size
from seg_perception.training.calibration.calibrate import Calibration, Network, calibrate
from seg_perception.training.calibration.summary import calibration_summary
from seg_perception.training.plan import TrainingPlan, load_plan

_RANGE_IMAGES = 32
_SPEC = GraphSpec(sample_points=1, resolution="native", logits=True)


def calibrate_model(
    plan_path: Path,
    root: Path | None,
    model: Path,
    precisions: Sequence[Precision] | None = None,
    range_images: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Precision, Calibration]:
    """Calibrate a network on the validation data of a plan; write its card, and a reliability diagram next to it.

    Each precision gets its own fit to the logits of the converted graph, as rounding changes a network's confidence.
    Other precisions in the card are not changed. The diagram, NAME_reliability.svg, is that of fp32.

    Args:
        plan_path: training YAML.
        root: folder that dataset paths start from; the plan's own when None.
        model: ONNX file with its card next to it.
        precisions: by default all, or only fp32 (the file as it is) for a network that is already quantised.
        range_images: folder of images for the quantisation ranges of int8; the plan's training images when None.
        progress: called with runs of the network done and total.

    Raises:
        ConfigError: plan, data or card are wrong.
        ImageError: there are no images for the ranges of int8, or one cannot be read.
        ModelError: the model does not match its card, or cannot be run or converted.
    """
    plan = load_plan(plan_path, root)
    card_path = model.with_suffix(".yaml")
    card = load_card(model, None)
    if card.classes != plan.classes:
        raise ConfigError(f"{card_path}: its classes are not those of {plan_path}; use the plan of this model.")
    fused = prepare_graphs(model, replace(card, calibration={"fp32": UNCALIBRATED}), _SPEC).fused
    chosen = precisions or (("fp32",) if is_quantised(fused) else PRECISIONS)
    size = (card.width, card.height)
    ranges = _range_images(plan, range_images, size) if "int8" in chosen else []
    results: dict[Precision, Calibration] = {}
    for precision in chosen:
        network = _network(convert_precision(fused, precision, ranges), len(card.classes))
        earlier = len(results)

        def report(done: int, total: int, earlier: int = earlier) -> None:
            progress(earlier * total + done, len(chosen) * total)

        results[precision] = calibrate(network, plan.validation, plan.space, size, report)
    _calibrated(card, results, plan).write(card_path)
    if "fp32" in results:
        fp32 = results["fp32"]
        diagram = reliability_diagram_svg(fp32.after.reliability, fp32.before.reliability)
        model.with_name(f"{model.stem}_reliability.svg").write_text(diagram, encoding="utf-8")
    return results


def _calibrated(card: ModelCard, results: dict[Precision, Calibration], plan: TrainingPlan) -> ModelCard:
    data = ", ".join(f"{dataset.name} ({len(dataset.images)} images)" for dataset in plan.validation)
    scalings = {precision: result.scaling.rounded() for precision, result in results.items()}
    measured: dict[str, Any] = {
        precision: {"validation_data": data, **calibration_summary(result)} for precision, result in results.items()
    }
    return replace(card, calibration={**card.calibration, **scalings}, measured={**card.measured, **measured})


def _network(fused: onnx.ModelProto, classes: int) -> Network:
    session = open_session(emulate_fp16(fused))
    fixed = {"costs": uniform_costs(classes), "sample_points": np.zeros((1, _SPEC.sample_points, 2), np.float32)}

    def network(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits, score_norm = session.run(["logits", "score_norm"], {"image": image[None], **fixed})
        if not np.isfinite(score_norm).all():
            raise ModelError("the network's outputs are not finite in this precision; leave this precision out.")
        return np.asarray(logits[0], np.float32)

    return network


def _range_images(plan: TrainingPlan, folder: Path | None, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Some images, spread evenly over the folder or all training data, uint8 [1, H, W, 3] RGB each."""
    paths = [path for dataset in plan.train for path in dataset.images] if folder is None else image_files(folder)
    few = np.linspace(0, len(paths) - 1, min(_RANGE_IMAGES, len(paths))).astype(int)
    return [at_network_size(read_image(paths[index]), *size, "bgr", "rgb")[None] for index in few]
