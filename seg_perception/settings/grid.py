"""Size and evidence decay of the grid, as a user sets them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from seg_perception.errors import ConfigError
from seg_perception.settings.field import check_settings, setting
from seg_perception.utils.short_text import shortened

MAX_CELLS = 4_000_000
"""A grid of this many cells takes 200 MB for 12 classes and cannot be updated at camera rate."""


@dataclass(frozen=True)
class GridSettings:
    """Size and evidence decay of the grid.

    A short half-life forgets what moved, a long one keeps what left the field of view. The prior holds every class
    equally likely: it pulls a cell with little evidence towards the mean traversal cost of all classes.
    """

    width: float = setting(
        20.0,
        "Extent along x of the odom frame, rounded to whole cells.",
        unit="m",
        minimum=1.0,
        maximum=500.0,
        changeable=False,
    )
    height: float = setting(
        20.0,
        "Extent along y of the odom frame, rounded to whole cells.",
        unit="m",
        minimum=1.0,
        maximum=500.0,
        changeable=False,
    )
    resolution: float = setting(
        0.1,
        "Edge of a cell, and the distance between samples of the ground. Make it no finer than the costmap that reads "
        "the grid, or nav2 leaves cells out.",
        unit="m",
        minimum=0.01,
        maximum=2.0,
        changeable=False,
    )
    half_life: float = setting(2.0, "Time after which evidence counts half.", unit="s", minimum=0.05, maximum=3600.0)
    prior_strength: float = setting(
        0.01,
        "Weight of the prior, which holds every class equally likely, in frames of evidence.",
        unit="frames",
        minimum=1e-6,
        maximum=10.0,
    )
    min_evidence: float = setting(
        0.2, "Evidence below which a cell is unknown.", unit="frames", minimum=1e-4, maximum=100.0
    )
    half_lives: tuple[tuple[str, float], ...] = setting(
        (),
        "Half-lives of single classes that have another one, such as Pedestrian: 0.5.",
        kind="numbers by name",
        unit="s",
        minimum=0.05,
        maximum=3600.0,
    )
    clearing: float = setting(
        0.0,
        "Share of the evidence of obstacle classes that one clear observation of ground in their cell removes; "
        "0 leaves it to time.",
        minimum=0.0,
        maximum=1.0,
    )
    max_entropy: float = setting(
        1.0,
        "Uncertainty about the class (normalized entropy) above which a cell that is not lethal is unknown; "
        "1 allows all.",
        minimum=0.01,
        maximum=1.0,
    )
    full_sharpness: float = setting(
        0.0,
        "Variance of the Laplacian from which an image counts fully; a less sharp image counts less. "
        "0 turns the check off.",
        minimum=0.0,
        maximum=1e6,
    )
    full_exposure: float = setting(
        0.0,
        "Share of pixels neither black nor white from which an image counts fully; 0 turns the check off.",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse sizes and times that make no grid.

        Raises:
            ConfigError: a value is outside its limits, or the grid has no cell or too many.
        """
        check_settings(self, "grid")
        if not 1 <= self.rows * self.cols <= MAX_CELLS:
            raise ConfigError(
                f"grid.resolution is {self.resolution} m, which cuts {self.width} m x {self.height} m into "
                f"{self.rows} x {self.cols} cells; choose it so that there are 1 to {MAX_CELLS} cells."
            )

    @property
    def rows(self) -> int:
        """Number of cells along y."""
        return round(self.height / self.resolution)

    @property
    def cols(self) -> int:
        """Number of cells along x."""
        return round(self.width / self.resolution)


def read_half_lives(entries: Iterable[str], source: str) -> tuple[tuple[str, float], ...]:
    """Half-lives of single classes written one per line, as `GridSettings.half_lives` has them.

    Args:
        entries: such as "Pedestrian: 0.5".
        source: where they come from, for messages.

    Raises:
        ConfigError: an entry is not of this form, or two are for the same class.
    """
    half_lives: dict[str, float] = {}
    for entry in entries:
        name, _, seconds = (part.strip() for part in entry.rpartition(":"))
        try:
            value = float(seconds)
        except ValueError:
            value = math.nan
        if not name or math.isnan(value):
            raise ConfigError(f"{source}: '{shortened(entry)}' is no half-life; write it as 'CLASS: SECONDS'.")
        if name in half_lives:
            raise ConfigError(f"{source}: '{shortened(name)}' is given twice; keep one of the two.")
        half_lives[name] = value
    return tuple(half_lives.items())
