"""Checkpoints: written atomically, and loaded without executing code from the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from seg_perception.errors import ConfigError
from seg_perception.training.plan import TrainingPlan

_NOT_SETTINGS = ("colours", "train", "validation", "space", "training_data", "licence")


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically."""
    # Written to another file and renamed, so that the previous checkpoint survives a kill in between.
    temporary = path.with_suffix(".tmp")
    torch.save(dict(state), temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, its tensors on the CPU.

    Raises:
        ConfigError: the file does not exist, or is no checkpoint.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no checkpoint there; correct the path, or start without --resume.")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if {"classes", "spec", "average"} <= state.keys():
            return state
    except Exception:  # torch, pickle and zip raise various exceptions for other files
        pass
    raise ConfigError(f"{path}: is no checkpoint of a training run, or is damaged; choose another one.")


def settings_of(plan: TrainingPlan) -> dict[str, str]:
    """All settings that a run depends on, by name."""
    names = [field.name for field in fields(plan) if field.name not in _NOT_SETTINGS]
    data = {f"data of {dataset.name}": f"{len(dataset.images)} images x {dataset.share:g}" for dataset in plan.train}
    return {name: repr(getattr(plan, name)) for name in names} | data


def check_settings(path: Path, state: Mapping[str, Any], plan: TrainingPlan) -> None:
    """Check that a run is resumed under the plan that it was started with.

    Raises:
        ConfigError: they differ; the first difference is named.
    """
    then, now = state["settings"], settings_of(plan)
    for name in now:
        if then.get(name) != now[name]:
            change = f" ({then.get(name, 'absent')} → {now[name]})"
            raise ConfigError(
                f"{path}: the plan's {name} has changed since{change if len(change) < 60 else ''}; resume with the "
                f"plan as it was, or start a new run from these weights (--start-from {path})."
            )
