"""Everything that can be found out, or can be wrong, before the first training step."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.evaluation.network.labels import JudgedLabels
from seg_perception.training.checkpoint import check_settings, load_checkpoint
from seg_perception.training.label_statistics import check_classes, take_census
from seg_perception.training.network.warm_start import Trained, load_trained
from seg_perception.training.plan import TrainingPlan


@dataclass(frozen=True)
class Ready:
    """What a run begins with.

    Attributes:
        counts: int64 [K+G], training pixels per label.
        judged: the labels of the validation data.
        resumed: the checkpoint to go on from, if any.
        trained: the network to start from, if any.
        notes: lines to tell the user.
    """

    counts: NDArray[np.int64]
    judged: JudgedLabels
    resumed: dict[str, Any] | None
    trained: Trained | None
    notes: list[str]


def get_ready(
    plan: TrainingPlan,
    checkpoint: Path,
    resume: bool,
    start_from: Path | None,
    executor: Executor,
    checking: Callable[[int, int], None],
) -> Ready:
    """Check plan, data and files; arguments as in `train`.

    Raises:
        ConfigError: see `train`.
    """
    resumed = trained = None
    notes = []
    if resume:
        resumed = load_checkpoint(checkpoint)
        check_settings(checkpoint, resumed, plan)
    elif checkpoint.exists():
        raise ConfigError(f"{checkpoint}: a run is there already; go on with --resume, or choose another folder.")
    elif start_from is not None:
        trained = load_trained(start_from, plan.network)
        notes += [_inherited(start_from, trained, plan)]
    census = take_census(plan.train, plan.validation, plan.space, (plan.width, plan.height), executor, checking)
    # A run that is resumed may have started from weights that knew what its data do not show.
    known = plan.classes if resume else trained.classes if trained is not None else ()
    notes += check_classes(census, plan.space, known)
    both = {image for dataset in plan.train for image in dataset.images}.intersection(
        image for dataset in plan.validation for image in dataset.images
    )
    if both:
        notes += [f"{len(both)} images are in training and validation alike, such as {min(both)}: scores will flatter"]
    judged = JudgedLabels.of([np.flatnonzero(census.validation).astype(np.uint8)], plan.space)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    return Ready(census.train, judged, resumed, trained, notes)


def _inherited(path: Path, trained: Trained, plan: TrainingPlan) -> str:
    kept = [name for name in plan.classes if name in trained.classes]
    new = ", ".join(name for name in plan.classes if name not in trained.classes)
    dropped = ", ".join(name for name in trained.classes if name not in plan.classes)
    line = f"starting from {path}, which knows {len(kept)} of {len(plan.classes)} classes"
    return line + (f"; new: {new}" if new else "") + (f"; dropped: {dropped}" if dropped else "")
