"""Size and memory of the grid, as a person sets them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from seg_perception.errors import ConfigError

MOST_CELLS = 4_000_000
"""A grid of this many cells takes 200 MB for 12 classes and cannot be updated at camera rate."""


@dataclass(frozen=True)
class GridSettings:
    """Size and memory of the grid.

    Attributes:
        width: extent along x of odom, m; rounded to whole cells.
        height: extent along y of odom, m; rounded to whole cells.
        resolution: edge of a cell, m. Not finer than the costmap that reads it, or nav2 leaves cells out.
        half_life: time after which evidence counts half, s. Short forgets what moved, long keeps what left the view.
        prior_strength: weight of the prior, which holds every class equally likely, in frames. It pulls thinly
            observed cells towards the mean traversal cost of all classes.
        min_evidence: frames of evidence below which a cell is unknown.
        half_lives: half-lives of single classes that have another one, (name, s) each: people leave, pavement stays.
        clearing: share of the evidence of standing things that one clear look at ground in their place takes
            away; 0 leaves it to time.
        max_entropy: doubt about the class above which a cell that is not lethal is unknown: 0 allows certainty alone, 1
            everything.
        full_sharpness: variance of the Laplacian from which an image counts fully, less of it less; 0 does not look.
        full_exposure: share of pixels neither black nor white from which an image counts fully; 0 does not look.
    """

    width: float = 20.0
    height: float = 20.0
    resolution: float = 0.1
    half_life: float = 2.0
    prior_strength: float = 0.01
    min_evidence: float = 0.2
    half_lives: tuple[tuple[str, float], ...] = ()
    clearing: float = 0.0
    max_entropy: float = 1.0
    full_sharpness: float = 0.0
    full_exposure: float = 0.0

    def __post_init__(self) -> None:
        """Refuse sizes and times that make no grid."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        full_sharpness = numbers.pop("full_sharpness")
        if not 0.0 <= full_sharpness < math.inf:
            raise ConfigError(f"grid.full_sharpness is {full_sharpness}; give a finite number from 0.")
        for name in ("clearing", "full_exposure"):
            if not 0.0 <= (share := numbers.pop(name)) <= 1.0:
                raise ConfigError(f"grid.{name} is {share}; give a share from 0 to 1.")
        numbers.update({f"half_lives.{name}": value for name, value in numbers.pop("half_lives")})
        for name, value in numbers.items():
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"grid.{name} is {value}; give a finite number above 0.")
        if self.max_entropy > 1.0:
            raise ConfigError(f"grid.max_entropy is {self.max_entropy}; give a share up to 1.")
        if not 1 <= self.rows * self.cols <= MOST_CELLS:
            raise ConfigError(
                f"grid.resolution is {self.resolution} m, which cuts {self.width} m x {self.height} m into "
                f"{self.rows} x {self.cols} cells; choose it so that there are 1 to {MOST_CELLS} cells."
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
            raise ConfigError(f"{source}: '{entry}' is no half-life; write it as 'CLASS: SECONDS'.")
        if name in half_lives:
            raise ConfigError(f"{source}: '{name}' is given twice and only one of them can stand.")
        half_lives[name] = value
    return tuple(half_lives.items())
