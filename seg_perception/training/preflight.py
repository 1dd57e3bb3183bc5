"""Checks of plan, data and files before the first training step."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.labels import EvaluationLabels
from seg_perception.training.checkpoint import check_settings, load_checkpoint
from seg_perception.training.label_statistics import check_class_coverage, collect_label_statistics
from seg_perception.training.network.warm_start import WarmStart, load_warm_start
from seg_perception.training.plan import TrainingPlan


@dataclass(frozen=True)
class PreflightResult:
    """What the checks found for the run.

    Attributes:
        counts: int64 [K+G], training pixels per label.
        labels: that occur in the validation data.
        resumed: the checkpoint to continue from, if any.
        warm_start: the network to start from, if any.
        notes: lines to show to the user.
    """

    counts: NDArray[np.int64]
    labels: EvaluationLabels
    resumed: dict[str, Any] | None
    warm_start: WarmStart | None
    notes: list[str]


def run_preflight(
    plan: TrainingPlan,
    checkpoint: Path,
    resume: bool,
    start_from: Path | None,
    executor: Executor,
    checking: Callable[[int, int], None],
) -> PreflightResult:
    """Check plan, data and files; arguments as in `train`.

    Raises:
        ConfigError: see `train`.
    """
    resumed = warm_start = None
    notes = []
    if resume:
        resumed = load_checkpoint(checkpoint)
        check_settings(checkpoint, resumed, plan)
    elif checkpoint.exists():
        raise ConfigError(f"{checkpoint}: a run is there already; resume it with --resume, or choose another folder.")
    elif start_from is not None:
        warm_start = load_warm_start(start_from, plan.network)
        notes += [_inherited(start_from, warm_start, plan)]
    statistics = collect_label_statistics(
        plan.train, plan.validation, plan.space, (plan.width, plan.height), executor, checking
    )
    # A resumed run may have had a warm start from weights that know classes which its data do not show.
    known = plan.classes if resume else warm_start.classes if warm_start is not None else ()
    notes += check_class_coverage(statistics, plan.space, known)
    both = {image for dataset in plan.train for image in dataset.images}.intersection(
        image for dataset in plan.validation for image in dataset.images
    )
    if both:
        notes += [
            f"{len(both)} images are both in training and validation, such as {min(both)}: validation scores will be "
            "too optimistic"
        ]
    labels = EvaluationLabels.of([np.flatnonzero(statistics.validation).astype(np.uint8)], plan.space)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    return PreflightResult(statistics.train, labels, resumed, warm_start, notes)


def _inherited(path: Path, warm_start: WarmStart, plan: TrainingPlan) -> str:
    kept = [name for name in plan.classes if name in warm_start.classes]
    new = ", ".join(name for name in plan.classes if name not in warm_start.classes)
    dropped = ", ".join(name for name in warm_start.classes if name not in plan.classes)
    line = f"starting from {path}, which knows {len(kept)} of {len(plan.classes)} classes"
    return line + (f"; new: {new}" if new else "") + (f"; dropped: {dropped}" if dropped else "")
